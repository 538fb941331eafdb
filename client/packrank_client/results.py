"""What a rerank call returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RerankResult:
    """One scored passage.

    - `index`: its place in the caller's list.
    - `logit`: the model's raw output; `score` is its sigmoid, 0 to 1.
    - `token_count`: tokens of prompt, query and passage together, after truncation.
    - `truncated`: whether the passage's tail was cut.
    """

    index: int
    logit: float
    score: float
    token_count: int
    truncated: bool = False


def ranked(results: Iterable[RerankResult], top_n: int | None = None) -> list[RerankResult]:
    """Sort by logit, highest first, equal logits in the caller's order; keep the first `top_n`, or all."""
    return sorted(results, key=lambda result: (-result.logit, result.index))[:top_n]
