"""The gate between an engine and the model repository: the engine on its GPU against the fp32 reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.packing import PackedPairs
from packrank_backend.text.question import Question
from packrank_backend.text.truncate_parameters import Truncate
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.parity import ParityError, kendall_tau, pairs_of, parity_requests
from packrank_build.graph.parity_pairs import NamedQuestion, declaration_articles, parity_questions
from packrank_build.graph.reference import reference_logits
from packrank_build.progress import Progress

TOP = 5
RANKED_PASSAGES = 10  # with fewer passages, the first TOP of a question mean little


def engine_questions() -> list[NamedQuestion]:
    """List the parity questions, and what low precision finds hardest: long sums, and tokens with large activations.

    Llama's activations have outliers of thousands at separators and repeated tokens (Sun et al. 2024,
    arXiv:2402.17762). fp8 takes its scales from these questions too.
    """
    english = declaration_articles()["en"]
    long = [" ".join([english[number]] * count) for number, count in (("1", 8), ("26", 12), ("3", 60))]
    outliers = ["\n" * 90, "!?" * 60, "0" * 120, '{"a": [[], {}, ""]}' * 12, "\U0001f600" * 40, ". " * 80]
    return [
        *parity_questions(),
        NamedQuestion("long pairs", Question(english["26"], long, Truncate.END)),
        NamedQuestion("outliers", Question(english["3"], [*outliers, english["1"]], Truncate.END)),
    ]


class Ranker(Protocol):
    """Scores packed requests: an engine on a GPU, or the CPU ranker."""

    def logits(self, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
        """Score each request: FP32 [pairs] per request."""
        ...


@dataclass(frozen=True)
class Thresholds:
    """How far an engine may be off. Differences are shares of the largest |reference logit|, taken as at least 1."""

    max_share: float
    mean_share: float
    kendall_tau: float
    top_overlap: float


# fp16 keeps 11 significant bits, bf16 8: the largest share is that of graph/parity.py, the mean a quarter of it. fp8
# keeps 4 and may have five times bf16's share. docs/gpu.md shows what each precision costs the demo ranker.
THRESHOLDS = {
    "fp16": Thresholds(max_share=5e-3, mean_share=1.25e-3, kendall_tau=0.99, top_overlap=0.8),
    "bf16": Thresholds(max_share=4e-2, mean_share=1e-2, kendall_tau=0.97, top_overlap=0.8),
    "fp8": Thresholds(max_share=0.2, mean_share=5e-2, kendall_tau=0.9, top_overlap=0.8),
}


@dataclass(frozen=True)
class EngineParity:
    """What the gate measured: differences are |engine's logit - reference logit|."""

    pairs: int
    max_difference: float
    mean_difference: float
    kendall_tau: float
    top_overlap: float
    scale: float

    def sentence(self) -> str:
        """Summarise the measurement in one line."""
        return (
            f"{self.pairs} pairs, logits up to {self.scale:.1f}: |difference| max {self.max_difference:.2e} "
            f"mean {self.mean_difference:.2e}, Kendall tau {self.kendall_tau:.4f}, "
            f"first {TOP} in common {self.top_overlap:.0%}"
        )

    def broken(self, thresholds: Thresholds) -> list[str]:
        """Name the thresholds that are exceeded; NaN exceeds all."""
        kept = {
            "max_share": self.max_difference <= thresholds.max_share * self.scale,
            "mean_share": self.mean_difference <= thresholds.mean_share * self.scale,
            "kendall_tau": self.kendall_tau >= thresholds.kendall_tau,
            "top_overlap": self.top_overlap >= thresholds.top_overlap,
        }
        return [name for name, is_kept in kept.items() if not is_kept]


def check_engine_parity(
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    ranker: Ranker,
    precision: str,
    max_pair_tokens: int,
    progress: Progress,
) -> EngineParity:
    """Score the parity questions with the reference and with `ranker`: all merged, then the first ones alone.

    Raises ParityError when a threshold of `precision` is exceeded.
    """
    requests = parity_requests(tokenizer, engine_questions(), max_pair_tokens)
    pairs = [pair for request in requests for pair in pairs_of(request)]
    progress.step("the parity questions through the engine")
    merged = ranker.logits(requests)
    alone = [ranker.logits([request])[0] for request in requests[:4]]
    progress.step(f"reference: {len(pairs)} pairs, {sum(map(len, pairs))} tokens, one pair at a time in fp32")
    expected = reference_logits(checkpoint, pairs, progress.detail)
    parity = compared(expected, merged)
    worst_alone = max(float(np.abs(one - other).max()) for one, other in zip(alone, merged, strict=False))
    thresholds = THRESHOLDS[precision]
    broken = parity.broken(thresholds)
    if not worst_alone <= thresholds.max_share * parity.scale:
        broken.append(f"merged and alone differ by {worst_alone:.2e}")
    if broken:
        raise ParityError(
            f"parity on the GPU: {parity.sentence()}. Over the limits of {precision}: {', '.join(broken)} "
            f"({thresholds}). Nothing was published."
        )
    return parity


def compared(expected: NDArray[np.float32], scored: Sequence[NDArray[np.float32]]) -> EngineParity:
    """Compare the logits of all pairs, FP32 [pairs], with those of each request in the same order."""
    flat = np.concatenate(scored)
    differences = np.abs(flat - expected)
    references = np.split(expected, np.cumsum([len(logits) for logits in scored])[:-1])
    overlaps = [
        len({*np.argsort(-one)[:TOP]} & {*np.argsort(-other)[:TOP]}) / TOP
        for one, other in zip(references, scored, strict=True)
        if len(one) >= RANKED_PASSAGES
    ]
    return EngineParity(
        pairs=len(expected),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        kendall_tau=kendall_tau(expected, flat),
        top_overlap=float(np.mean(overlaps)),
        scale=max(1.0, float(np.abs(expected).max())),
    )
