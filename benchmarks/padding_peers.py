"""The same pairs scored in this process by what pads and by what does not, one after another on the same machine.

Packed: our graph, requests merged as the server merges them. Padded: the same graph on rectangles (packed_graph's
`padded`), once with every request a batch, as servers do that cannot merge unequal shapes, and once with all pairs
sorted by length first, the best that padding can do and more than a server can. Hugging Face: transformers on the
sorted batches.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_build.tensorrt.padded_engine import padded_batches

ROOT = Path(__file__).resolve().parents[1]
TORCH_PYTHON = ROOT / ".venv-torch" / "bin" / "python"
REPEATS = 3

Pairs = list[list[int]]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Peers:
    """What scores on this machine: requests (lists of pairs), and one padded batch of at most `max_padded_tokens`."""

    packed: Callable[[list[Pairs]], Logits]
    padded: Callable[[Pairs], Logits]
    max_padded_tokens: int


class PeerError(Exception):
    """A peer failed; the message holds its own words."""


def tokenized(
    questions: Sequence[Question], tokenizer: Tokenizer, most_tokens: int, max_pair_tokens: int
) -> list[Pairs]:
    """Token ids of each question's pairs; as many questions as `most_tokens` hold, at least one."""
    requests: list[Pairs] = []
    tokens = 0
    for question in questions:
        pairs = [tokenizer.encode(pair_text(question.query, text)).ids[:max_pair_tokens] for text in question.passages]
        tokens += sum(map(len, pairs))
        if requests and tokens > most_tokens:
            break
        requests.append(pairs)
    return requests


def by_request(requests: Sequence[Pairs], max_padded_tokens: int) -> list[list[int]]:
    """Batches of indexes into all pairs: each request one, or several where it is too large."""
    batches = []
    start = 0
    for pairs in requests:
        cut = padded_batches([len(pair) for pair in pairs], max_padded_tokens)
        batches += [[start + index for index in batch] for batch in cut]
        start += len(pairs)
    return batches


def by_length(pairs: Pairs, max_padded_tokens: int) -> list[list[int]]:
    """Batches of indexes into all pairs, shortest pairs first."""
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index]))
    return [
        [order[place] for place in batch] for batch in padded_batches([len(pairs[i]) for i in order], max_padded_tokens)
    ]


def compare(requests: list[Pairs], peers: Peers, huggingface: Path | None) -> list[dict[str, float | str]]:
    """A row for each peer; `huggingface` is the checkpoint's directory, None leaves that peer out.

    Every row names how far its logits are from the packed ones: what is compared computes the same.
    """
    pairs = [pair for request in requests for pair in request]
    tokens = sum(map(len, pairs))
    seconds, expected = timed(lambda: peers.packed(requests))
    rows = [_row("packed", seconds, tokens, tokens, len(pairs), 0.0)]

    def padded(batches: list[list[int]]) -> Logits:
        logits = np.empty(len(pairs), np.float32)
        for batch in batches:
            logits[batch] = peers.padded([pairs[index] for index in batch])
        return logits

    for name, batches in (
        ("padded, a batch a request", by_request(requests, peers.max_padded_tokens)),
        ("padded, sorted by length", by_length(pairs, peers.max_padded_tokens)),
    ):
        seconds, logits = timed(lambda batches=batches: padded(batches))  # type: ignore[misc]
        difference = float(np.abs(logits - expected).max())
        rows.append(_row(name, seconds, tokens, _padded_tokens(pairs, batches), len(pairs), difference))
    if huggingface is not None:
        batches = by_length(pairs, peers.max_padded_tokens)
        seconds, logits = huggingface_scores(huggingface, [[pairs[index] for index in batch] for batch in batches])
        order = [index for batch in batches for index in batch]
        difference = float(np.abs(logits - expected[order]).max())
        name = "Hugging Face, sorted by length"
        rows.append(_row(name, seconds, tokens, _padded_tokens(pairs, batches), len(pairs), difference))
    return [row | {"packed is faster by": float(row["seconds"]) / float(rows[0]["seconds"])} for row in rows]


def timed(score: Callable[[], Logits]) -> tuple[float, Logits]:
    """Median seconds of REPEATS runs after one to warm up, and the logits."""
    logits = score()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        score()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), logits


def huggingface_scores(checkpoint: Path, batches: list[Pairs]) -> tuple[float, Logits]:
    """Median seconds, and the logits in the order of the batches. Raises PeerError."""
    request = json.dumps({"checkpoint": str(checkpoint), "batches": batches, "repeats": REPEATS})
    command = [str(TORCH_PYTHON), "-m", "benchmarks.huggingface_peer"]
    done = subprocess.run(command, cwd=ROOT, input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"Hugging Face failed: {done.stderr.strip().splitlines()[-1]}")
    answer = json.loads(done.stdout)
    return float(np.median(answer["seconds"])), np.array(answer["logits"], np.float32)


def _padded_tokens(pairs: Pairs, batches: list[list[int]]) -> int:
    return sum(len(batch) * max(len(pairs[index]) for index in batch) for batch in batches)


def _row(
    name: str, seconds: float, tokens: int, computed: int, pairs: int, difference: float
) -> dict[str, float | str]:
    return {
        "peer": name,
        "pairs/s": pairs / seconds,
        "tokens/s": tokens / seconds,
        "padding %": 100 * (1 - tokens / computed),
        "max Δ logit": difference,
        "seconds": seconds,
    }
