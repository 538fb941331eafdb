"""Equal passages are scored once.

So they cost once, get equal results and keep the caller's order. Scored apart, in different parts of a split request,
their logits would differ in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from packrank_client.results import RerankResult, ranked


class DistinctPassages:
    """`passages` holds each distinct passage once, in the order of first occurrence."""

    def __init__(self, passages: Sequence[str]) -> None:
        places: dict[str, int] = {}
        self._places = [places.setdefault(passage, len(places)) for passage in passages]
        self.passages = list(places)

    def index_of(self, place: int) -> int:
        """Return the caller's index of the passage at `place` in `passages`: of its first occurrence."""
        return self._places.index(place)

    def results(self, results: Iterable[RerankResult]) -> list[RerankResult]:
        """Return a result for each of the caller's passages, highest logit first, equal logits in their order.

        The score is the sigmoid of the FP32 logit, in float64. In FP32 every logit above 17 would score 1.0, as float64
        does only above 36.
        """
        by_place = {result.index: result for result in results}
        scores = {place: sigmoid(result.logit) for place, result in by_place.items()}
        return ranked(
            RerankResult(index, found.logit, scores[place], found.token_count, found.truncated)
            for index, place in enumerate(self._places)
            for found in (by_place[place],)
        )


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    decay = math.exp(-abs(logit))
    return 1 / (1 + decay) if logit >= 0 else decay / (1 + decay)
