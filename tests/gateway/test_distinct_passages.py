from __future__ import annotations

import pytest

from packrank_client import RerankResult
from packrank_gateway.distinct_passages import DistinctPassages, sigmoid


def test_each_distinct_passage_once_and_every_index_in_order() -> None:
    distinct = DistinctPassages(["b", "a", "b", "a", "c"])
    assert distinct.passages == ["b", "a", "c"]
    assert [distinct.index_of(place) for place in range(3)] == [0, 1, 4]
    scored = [RerankResult(1, 2.0, 0.9, 7), RerankResult(0, 1.0, 0.7, 8, True), RerankResult(2, 1.0, 0.7, 9)]
    results = distinct.results(scored)
    assert [(r.index, r.logit, r.token_count, r.truncated) for r in results] == [
        (1, 2.0, 7, False),
        (3, 2.0, 7, False),
        (0, 1.0, 8, True),
        (2, 1.0, 8, True),
        (4, 1.0, 9, False),
    ]


def test_large_logits_keep_apart() -> None:
    scores = [sigmoid(logit) for logit in (17.5, 18.0, 20.6, 36.0)]
    assert scores == sorted(set(scores))
    assert scores[-1] < 1.0


@pytest.mark.parametrize(("logit", "score"), [(0.0, 0.5), (-1000.0, 0.0), (1000.0, 1.0), (-1.0, 0.2689414213699951)])
def test_sigmoid(logit: float, score: float) -> None:
    assert sigmoid(logit) == pytest.approx(score)
