"""`PRECISION=auto`: the fastest precision on this processor that keeps the order of fp32's scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.build_record import BuildRecord
from packrank_backend.packing import PackedPairs
from packrank_backend.ranker.cpu_ranker import CpuRanker
from packrank_backend.ranker.openvino_graph import why_not_bf16
from packrank_build.graph.parity import parity_requests
from packrank_build.graph.parity_pairs import NamedQuestion
from packrank_build.precision.fidelity import LARGEST_NDCG_LOSS, LEAST_KENDALL_TAU, LEAST_QUESTIONS, Fidelity, fidelity
from packrank_build.precision.labelled_pairs import labelled_questions
from packrank_build.progress import Progress

Candidate = Literal["fp32", "bf16"]

QUESTIONS_AT_ONCE = 10
INT8_REASON = "its calibration takes longer than the rest of the build; PRECISION=int8 asks for it"


@dataclass(frozen=True)
class Measured:
    """One precision's logits of the labelled questions, FP32 [passages] each, and how fast they came."""

    precision: str
    tokens_per_second: float
    logits: list[NDArray[np.float32]]


@dataclass(frozen=True)
class Choice:
    """What was measured, fp32 first, what was not and why, and the precision that is published."""

    precision: str
    measured: list[Measured]
    fidelities: dict[str, Fidelity]
    skipped: dict[str, str]

    @property
    def is_certain(self) -> bool:
        """Whether more questions would not change the choice."""
        return all(found.is_certain for found in self.fidelities.values())

    def table(self) -> str:
        """Markdown: one row per precision, and what became of it."""
        rows = [self._row(one) for one in self.measured]
        rows += [f"| {precision} | | | | | not tried: {reason} |" for precision, reason in self.skipped.items()]
        heading = ["| precision | tokens/s | x fp32 | Kendall tau | nDCG@10 lost | |", "|---|---:|---:|---|---|---|"]
        counts = [found.questions for found in self.fidelities.values()]
        asked = len(self.measured[0].logits)
        note = f"{asked} labelled questions in 26 languages; tau is of the {counts[0]} whose answer fp32 puts first."
        return "\n".join([*heading, *rows, "", note])

    def _row(self, one: Measured) -> str:
        speed, ratio = one.tokens_per_second, one.tokens_per_second / self.measured[0].tokens_per_second
        found = self.fidelities.get(one.precision)
        if found is None:
            tau = loss = ""
        else:
            tau = f"{found.tau.mean:.4f} ({found.tau.low:.4f} to {found.tau.high:.4f})"
            loss = f"{found.ndcg_loss.mean:+.4f} ({found.ndcg_loss.low:+.4f} to {found.ndcg_loss.high:+.4f})"
        return f"| {one.precision} | {speed:.0f} | {ratio:.2f} | {tau} | {loss} | {self._verdict(one, found)} |"

    def _verdict(self, one: Measured, found: Fidelity | None) -> str:
        if one.precision == self.precision:
            return "**published**"
        if found is not None and found.questions < LEAST_QUESTIONS:
            return "fp32 itself answers too few of the labelled questions to compare"
        if found is not None and not found.passes:
            bounds = f"tau must be {LEAST_KENDALL_TAU} or more, the loss {LARGEST_NDCG_LOSS} or less"
            return f"too far from fp32's order: {bounds}"
        return "slower"


def candidates() -> tuple[list[Candidate], dict[str, str]]:
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


def measure(model: Path, record: BuildRecord, requests: Sequence[PackedPairs], progress: Progress) -> Measured:
    """Score all requests, after a first one that loads weights and code."""
    tokens = sum(request.input_ids.size for request in requests)
    pairs = sum(len(request.seq_lens) for request in requests)
    progress.step(f"{record.precision}: speed and order on {pairs} labelled pairs, {tokens} tokens")
    ranker = CpuRanker(model, record, threads=0, max_run_tokens=1024, max_attention_bytes=1 << 29)
    ranker.logits(requests[:1])
    logits: list[NDArray[np.float32]] = []
    start = time.perf_counter()
    for first in range(0, len(requests), QUESTIONS_AT_ONCE):
        logits += ranker.logits(requests[first : first + QUESTIONS_AT_ONCE])
        progress.detail(f"question {len(logits)} of {len(requests)}")
    return Measured(record.precision, tokens / (time.perf_counter() - start), logits)


def choose(measured: Sequence[Measured], answers: Sequence[int], skipped: dict[str, str]) -> Choice:
    """The fastest of fp32, which comes first, and of those that pass the fidelity gate."""
    reference, *others = measured
    found = {one.precision: fidelity(reference.logits, one.logits, answers) for one in others}
    passing = [reference, *(one for one in others if found[one.precision].passes)]
    fastest = max(passing, key=lambda one: one.tokens_per_second)
    return Choice(fastest.precision, list(measured), found, skipped)
