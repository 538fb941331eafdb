"""Compare a precision's ranking with fp32's: Kendall's tau, nDCG@10 on labels, and differences of logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Row
from packrank_build.graph.parity import kendall_tau
from packrank_build.precision.fidelity import LARGEST_NDCG_LOSS, LEAST_KENDALL_TAU
from packrank_client.evaluation.bootstrap import Estimate, estimate
from packrank_client.evaluation.measures import measure
from packrank_client.evaluation.trec_run import Hit

Logits = Sequence[NDArray[np.float32]]
"""One array per question: FP32 [passages]."""


def fidelity_row(precision: str, expected: Logits, logits: Logits, grades: Sequence[Sequence[int]]) -> Row:
    """Compare logits with fp32's (`expected`), and both orders with the grades.

    tau and the change of nDCG@10 have 95 % bootstrap intervals over questions.
    """
    differences = np.abs(np.concatenate(logits) - np.concatenate(expected))
    # only finite numbers have an order; the others are counted
    finite = [np.nan_to_num(one) for one in logits]
    ndcgs = ndcg_at_10(finite, grades)
    change = estimate(ndcgs - ndcg_at_10(expected, grades))
    tau = estimate(np.array([kendall_tau(one, other) for one, other in zip(expected, finite, strict=True)]))
    return {
        "precision": precision,
        "pairs": len(differences),
        "not finite": int((~np.isfinite(np.concatenate(logits))).sum()),
        "max Δ logit": round(float(differences.max()), 4),
        "mean Δ logit": round(float(differences.mean()), 4),
        "Kendall τ": round(tau.mean, 4),
        "τ, 95 %": f"{tau.low:.4f} to {tau.high:.4f}",
        "nDCG@10": round(float(ndcgs.mean()), 4),
        "change": f"{change.mean:+.4f}",
        "change, 95 %": f"{change.low:+.4f} to {change.high:+.4f}",
        "gate": verdict(tau, change),
    }


def verdict(tau: Estimate, change: Estimate) -> str:
    """Judge by the means, then by the bounds of their intervals that speak against the precision."""
    if tau.mean < LEAST_KENDALL_TAU or change.mean < -LARGEST_NDCG_LOSS:
        return "fails"
    if tau.low < LEAST_KENDALL_TAU or change.low < -LARGEST_NDCG_LOSS:
        return "passes, interval reaches beyond"
    return "passes"


def ndcg_at_10(logits: Logits, grades: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return trec_eval's nDCG@10 of each question, over its candidates: FP64 [questions]."""
    run = {
        str(number): [Hit(str(place), float(of_question[place])) for place in np.argsort(-of_question, kind="stable")]
        for number, of_question in enumerate(logits)
    }
    qrels = {
        str(number): {str(place): grade for place, grade in enumerate(of_question)}
        for number, of_question in enumerate(grades)
    }
    return measure(qrels, run)["nDCG@10"]
