import numpy as np
import pytest

from packrank_build.precision.fidelity import Fidelity, fidelity
from packrank_client.evaluation.bootstrap import Estimate

FALLING = np.arange(10, 0, -1).astype(np.float32)


def test_the_same_order_loses_nothing() -> None:
    found = fidelity([FALLING] * 20, [FALLING * 2] * 20, [0] * 20)
    assert found == Fidelity(20, Estimate(1, 1, 1), Estimate(0, 0, 0))
    assert found.passes


def test_the_answer_pushed_from_first_to_second_place_costs_what_ndcg_says() -> None:
    swapped = FALLING.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = fidelity([FALLING], [swapped], [0])
    assert found.ndcg_loss.mean == pytest.approx(1 - 1 / np.log2(3))
    assert found.tau.mean == pytest.approx(1 - 2 / 45)
    assert not found.passes


def test_an_answer_beyond_the_tenth_place_counts_nothing() -> None:
    long = np.arange(12, 0, -1).astype(np.float32)
    assert fidelity([long], [-long], [0]).ndcg_loss.mean == pytest.approx(1)


def test_tau_counts_only_questions_that_fp32_answers_and_ndcg_counts_all() -> None:
    found = fidelity([FALLING, FALLING], [FALLING, -FALLING], [0, 5])
    assert (found.questions, found.tau.mean) == (1, 1)
    # the other answer moves from the sixth place to the fifth
    assert found.ndcg_loss.mean == pytest.approx((1 / np.log2(7) - 1 / np.log2(6)) / 2)
    none = fidelity([FALLING], [FALLING], [5])
    assert none.questions == 0
    assert not none.passes
    assert not none.is_certain


def test_a_verdict_is_certain_when_the_whole_interval_is_on_its_side() -> None:
    nothing_lost = Estimate(0, 0, 0)
    assert Fidelity(50, Estimate(0.995, 0.99, 1), nothing_lost).is_certain
    assert not Fidelity(50, Estimate(0.99, 0.98, 1), nothing_lost).is_certain
    assert not Fidelity(50, Estimate(0.98, 0.97, 0.99), nothing_lost).is_certain
    assert Fidelity(50, Estimate(0.9, 0.89, 0.91), nothing_lost).is_certain


def test_the_interval_holds_the_mean_and_narrows_with_questions() -> None:
    swapped = FALLING.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    few = fidelity([FALLING] * 4, [FALLING, FALLING, FALLING, swapped], [0] * 4).tau
    many = fidelity([FALLING] * 400, [FALLING, FALLING, FALLING, swapped] * 100, [0] * 400).tau
    assert few.low <= few.mean <= few.high
    assert few.mean == pytest.approx(many.mean)
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(
    ("tau", "loss", "passes"),
    [(0.985, 0.005, True), (0.984, 0, False), (1, 0.006, False), (0.99, -0.02, True)],
)
def test_both_bounds_of_the_gate_count(tau: float, loss: float, passes: bool) -> None:
    found = Fidelity(100, Estimate(tau, tau, tau), Estimate(loss, loss, loss))
    assert found.passes is passes
    assert found.is_certain
