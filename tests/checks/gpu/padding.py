"""Score the same pairs packed, padded and with Hugging Face, one after another in this process.

- packed: our graph, with requests merged as the server merges them;
- padded by request: the same graph on rectangles, one batch per request, for servers that cannot merge unequal shapes;
- padded by length: the same, with all pairs sorted by length first, which is the best that padding can do;
- Hugging Face: transformers on the sorted batches.
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

from benchmarks.errors import BenchmarkError
from benchmarks.processes import ROOT
from benchmarks.results import Row
from packrank_build.tensorrt.padded_engine import padded_batches

TORCH_PYTHON = ROOT / ".venv-torch" / "bin" / "python"
REPEATS = 3

Pairs = list[list[int]]
"""Token ids of each pair."""
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Peers:
    """What scores requests packed, and a padded batch of at most `max_padded_tokens` (pairs × longest pair)."""

    packed: Callable[[list[Pairs]], Logits]
    padded: Callable[[Pairs], Logits]
    max_padded_tokens: int


def by_request(requests: Sequence[Pairs], limit: int) -> list[list[int]]:
    """Return batches of indexes into all pairs: one per request, or several where it is too large."""
    batches: list[list[int]] = []
    start = 0
    for pairs in requests:
        batches += [[start + i for i in batch] for batch in padded_batches([len(pair) for pair in pairs], limit)]
        start += len(pairs)
    return batches


def by_length(pairs: Pairs, limit: int) -> list[list[int]]:
    """Return batches of indexes into all pairs, shortest pairs first."""
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index]))
    return [[order[place] for place in batch] for batch in padded_batches([len(pairs[i]) for i in order], limit)]


def compare(requests: list[Pairs], peers: Peers, checkpoint: Path | None) -> list[Row]:
    """Return one row for each way of scoring, with its largest distance from the packed logits.

    `checkpoint` is Hugging Face's directory; None leaves Hugging Face out. Raises BenchmarkError.
    """
    pairs = [pair for request in requests for pair in request]
    tokens = sum(map(len, pairs))
    sorted_batches = by_length(pairs, peers.max_padded_tokens)

    def padded(batches: list[list[int]]) -> tuple[float, Logits]:
        def score() -> Logits:
            logits = np.empty(len(pairs), np.float32)
            for batch in batches:
                logits[batch] = peers.padded([pairs[index] for index in batch])
            return logits

        return timed(score)

    def huggingface(directory: Path) -> tuple[float, Logits]:
        batches = [[pairs[index] for index in batch] for batch in sorted_batches]
        seconds, in_batch_order = huggingface_scores(directory, batches)
        logits = np.empty(len(pairs), np.float32)
        logits[[index for batch in sorted_batches for index in batch]] = in_batch_order
        return seconds, logits

    request_batches = by_request(requests, peers.max_padded_tokens)
    ways = {
        "packed": ([[index] for index in range(len(pairs))], timed(lambda: peers.packed(requests))),
        "padded, one batch per request": (request_batches, padded(request_batches)),
        "padded, sorted by length": (sorted_batches, padded(sorted_batches)),
    }
    if checkpoint is not None:
        ways["Hugging Face, sorted by length"] = sorted_batches, huggingface(checkpoint)
    packed_seconds, expected = ways["packed"][1]
    rows: list[Row] = []
    for name, (batches, (seconds, logits)) in ways.items():
        computed = sum(len(batch) * max(len(pairs[index]) for index in batch) for batch in batches)
        rows.append(
            {
                "peer": name,
                "pairs/s": len(pairs) / seconds,
                "tokens/s": tokens / seconds,
                "padding %": 100 * (1 - tokens / computed),
                "max Δ logit": float(np.abs(logits - expected).max()),
                "packed is faster by": seconds / packed_seconds,
            }
        )
    return rows


def timed(score: Callable[[], Logits]) -> tuple[float, Logits]:
    """Return the median seconds of REPEATS runs after a warm-up, and the logits."""
    logits = score()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        score()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), logits


def huggingface_scores(checkpoint: Path, batches: list[Pairs]) -> tuple[float, Logits]:
    """Return the median seconds, and the logits in the order of the batches. Raises BenchmarkError."""
    request = json.dumps({"checkpoint": str(checkpoint), "batches": batches, "repeats": REPEATS})
    command = [str(TORCH_PYTHON), "-m", "tests.checks.gpu.huggingface"]
    done = subprocess.run(command, cwd=ROOT, input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"Hugging Face failed: {done.stderr.strip().splitlines()[-1]}")
    answer = json.loads(done.stdout)
    return float(np.median(answer["seconds"])), np.array(answer["logits"], np.float32)
