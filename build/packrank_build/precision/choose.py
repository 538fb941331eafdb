"""`PRECISION=auto`: the fastest precision on this processor that keeps the order of fp32's scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.openvino_graph import why_not_bf16
from packrank_backend.packing import PackedPairs
from packrank_build.graph.packed_graph import Precision
from packrank_build.graph.parity import parity_requests
from packrank_build.graph.parity_pairs import NamedQuestion
from packrank_build.precision.fidelity import Fidelity, fidelity
from packrank_build.precision.labelled_pairs import labelled_questions
from packrank_build.progress import Progress

QUESTIONS_AT_ONCE = 10

INT8_REASON = "its calibration takes longer than the rest of the build; PRECISION=int8 asks for it"


@dataclass(frozen=True)
class Measured:
    """One precision's logits of the labelled questions, FP32 [passages] each, and how fast they came."""

    precision: Precision
    tokens_per_second: float
    logits: list[NDArray[np.float32]]


@dataclass(frozen=True)
class Choice:
    """What was measured, fp32 first, what was not and why, and the precision that is published."""

    precision: Precision
    measured: list[Measured]
    fidelities: dict[Precision, Fidelity]
    skipped: dict[Precision, str]

    def table(self) -> str:
        """Markdown: a row for each precision, and what became of it."""
        lines = ["| precision | tokens/s | x fp32 | Kendall tau | nDCG@10 lost | |", "|---|---:|---:|---|---|---|"]
        for one in self.measured:
            lines.append(f"| {one.precision} | {one.tokens_per_second:.0f} | {self._ratio(one):.2f} {self._rest(one)}")
        lines += [f"| {precision} | | | | | not tried: {reason} |" for precision, reason in self.skipped.items()]
        return "\n".join(lines)

    def _ratio(self, one: Measured) -> float:
        return one.tokens_per_second / self.measured[0].tokens_per_second

    def _rest(self, one: Measured) -> str:
        verdict = "published" if one.precision == self.precision else "not published: slower"
        if one.precision not in self.fidelities:
            return f"| 1 | 0 | the reference{', published' if one.precision == self.precision else ''} |"
        found = self.fidelities[one.precision]
        if not found.passes:
            verdict = "not published: too far from fp32's order"
        tau, loss = found.tau, found.ndcg_loss
        return (
            f"| {tau.mean:.4f} ({tau.low:.4f} to {tau.high:.4f}) "
            f"| {loss.mean:+.4f} ({loss.low:+.4f} to {loss.high:+.4f}) | {verdict} |"
        )


def candidates() -> tuple[list[Precision], dict[Precision, str]]:
    """Precisions worth building here, fp32 first, and why the others are not."""
    reason = why_not_bf16()
    if reason is None:
        return ["fp32", "bf16"], {"int8": INT8_REASON}
    return ["fp32"], {"bf16": reason, "int8": INT8_REASON}


def labelled_requests(tokenizer: Tokenizer, max_pair_tokens: int) -> tuple[list[PackedPairs], list[int]]:
    """The labelled questions as the tokenizer packs them, and the index of each one's answer."""
    labelled = labelled_questions()
    named = [NamedQuestion(f"labelled question {number}", one.question) for number, one in enumerate(labelled)]
    return parity_requests(tokenizer, named, max_pair_tokens), [one.answer for one in labelled]


def measure(precision: Precision, ranker: CpuRanker, requests: Sequence[PackedPairs], progress: Progress) -> Measured:
    """Score all requests, after a first one that loads weights and code."""
    tokens = sum(request.input_ids.size for request in requests)
    progress.step(f"{precision}: speed and order on {sum(len(r.seq_lens) for r in requests)} labelled pairs")
    ranker.logits(requests[:1])
    logits: list[NDArray[np.float32]] = []
    start = time.perf_counter()
    for first in range(0, len(requests), QUESTIONS_AT_ONCE):
        logits += ranker.logits(requests[first : first + QUESTIONS_AT_ONCE])
        progress.detail(f"question {len(logits)} of {len(requests)}")
    return Measured(precision, tokens / (time.perf_counter() - start), logits)


def choose(measured: Sequence[Measured], answers: Sequence[int], skipped: dict[Precision, str]) -> Choice:
    """The fastest of fp32, which comes first, and of those that pass the fidelity gate."""
    reference, *others = measured
    found = {one.precision: fidelity(reference.logits, one.logits, answers) for one in others}
    passing = [reference, *(one for one in others if found[one.precision].passes)]
    fastest = max(passing, key=lambda one: one.tokens_per_second)
    return Choice(fastest.precision, list(measured), found, skipped)
