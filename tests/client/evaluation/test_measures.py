from __future__ import annotations

import math

import numpy as np
import pytest

from packrank_client.evaluation.bootstrap import estimate
from packrank_client.evaluation.measures import measure
from packrank_client.evaluation.trec_run import Hit


def hits(*names: str) -> list[Hit]:
    return [Hit(name, 0.0) for name in names]  # all tied: the order of the run counts


def test_measures_are_those_of_their_definitions() -> None:
    qrels = {"q1": {"a": 1, "b": 1}, "q2": {"z": 1}}
    values = measure(qrels, {"q1": hits("x", "a", "y", "u", "v", "b"), "q2": hits("a", "b", "z")})
    assert values["Recall@5"] == pytest.approx([0.5, 1])
    assert values["MRR@10"] == pytest.approx([1 / 2, 1 / 3])
    gain = 1 / math.log2(3) + 1 / math.log2(7)
    assert values["nDCG@10"] == pytest.approx([gain / (1 + 1 / math.log2(3)), 1 / math.log2(4)])


def test_a_query_without_hits_counts_as_nothing_found() -> None:
    values = measure({"q1": {"a": 1}, "q2": {"a": 1}}, {"q2": hits("a")})
    assert values["MRR@10"].tolist() == [0, 1]


def test_an_eleventh_place_is_too_low_for_mrr_at_10() -> None:
    run = {"q": hits(*(f"x{place}" for place in range(10)), "a")}
    assert measure({"q": {"a": 1}}, run)["MRR@10"].tolist() == [0]


def test_the_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    values = np.random.default_rng(1).random(200)
    found = estimate(values)
    assert found.low < found.mean < found.high
    assert found == estimate(values)
    # about 1.96 standard errors to each side
    error = float(np.std(values) / math.sqrt(len(values)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_one_value_has_no_width() -> None:
    found = estimate(np.array([0.5]))
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
