from __future__ import annotations

from packrank_client.results import RerankResult, ranked


def result(index: int, logit: float) -> RerankResult:
    return RerankResult(index, logit, 0.5, 9)


def test_highest_logit_first_and_ties_in_the_callers_order() -> None:
    # their sigmoid is 1.0 for all, so only the logits differ
    results = [result(4, 20.0), result(2, 21.0), result(0, 20.0), result(3, -1.0), result(1, 20.0)]
    assert [r.index for r in ranked(results)] == [2, 0, 1, 4, 3]


def test_top_n_keeps_the_best() -> None:
    results = [result(0, 1.0), result(1, 3.0), result(2, 2.0)]
    assert [r.index for r in ranked(results, 2)] == [1, 2]
    assert [r.index for r in ranked(results, 10)] == [1, 2, 0]
