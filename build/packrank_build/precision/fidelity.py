"""How much of fp32's order another precision keeps, and what that costs on labelled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from packrank_build.graph.parity import kendall_tau
from packrank_client.evaluation.bootstrap import Estimate, estimate

# The gate of every precision that is to be a default.
LEAST_KENDALL_TAU = 0.985
LARGEST_NDCG_LOSS = 0.005
LEAST_QUESTIONS = 10  # that fp32 answers; fewer say nothing about a checkpoint
_CUTOFF = 10

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Fidelity:
    """Kendall's tau against fp32's order, over the `questions` that fp32 answers, and the nDCG@10 lost, over all."""

    questions: int
    tau: Estimate
    ndcg_loss: Estimate

    @property
    def passes(self) -> bool:
        """Whether the precision may be a default, judged by the means."""
        return (
            self.questions >= LEAST_QUESTIONS
            and self.tau.mean >= LEAST_KENDALL_TAU
            and self.ndcg_loss.mean <= LARGEST_NDCG_LOSS
        )

    @property
    def is_certain(self) -> bool:
        """Whether the intervals agree with the means, so that more questions would not change the verdict."""
        if self.questions < LEAST_QUESTIONS:
            return False
        if self.passes:
            return self.tau.low >= LEAST_KENDALL_TAU and self.ndcg_loss.high <= LARGEST_NDCG_LOSS
        return self.tau.high < LEAST_KENDALL_TAU or self.ndcg_loss.low > LARGEST_NDCG_LOSS


def fidelity(reference: Sequence[Logits], measured: Sequence[Logits], answers: Sequence[int]) -> Fidelity:
    """Compare the logits of each question; `answers` holds the index of each question's only relevant passage.

    For tau only questions count whose answer fp32 puts first. In a language that a checkpoint cannot read, its order is
    noise, and keeping noise proves nothing. nDCG counts all: those that fp32 answers could only lose.
    """
    triples = list(zip(reference, measured, answers, strict=True))
    taus = [kendall_tau(ours, theirs) for ours, theirs, answer in triples if int(np.argmax(ours)) == answer]
    losses = [_ndcg(ours, answer) - _ndcg(theirs, answer) for ours, theirs, answer in triples]
    return Fidelity(len(taus), _estimate(taus), _estimate(losses))


def _ndcg(logits: Logits, answer: int) -> float:
    """nDCG@10 with one relevant passage; the ideal order puts it first."""
    rank = 1 + int(np.flatnonzero(np.argsort(-logits, kind="stable") == answer)[0])
    return 1 / float(np.log2(1 + rank)) if rank <= _CUTOFF else 0.0


def _estimate(values: list[float]) -> Estimate:
    return estimate(np.array(values)) if values else Estimate(0, 0, 0)
