import asyncio

import numpy as np
import pytest

from benchmarks.open_loop import ANSWERED, Outcome, load_row, poisson_times, run_open_loop


def test_requests_come_at_random_but_as_often_as_asked() -> None:
    times = poisson_times(100, 50, seed=0)
    assert len(times) == pytest.approx(5000, rel=0.05)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05), "exponential: as wide as its mean"
    assert times.min() >= 0
    assert times.max() < 50
    assert np.array_equal(times, poisson_times(100, 50, seed=0))


def test_no_request_waits_for_another() -> None:
    async def run() -> list[Outcome]:
        everyone = asyncio.Event()
        under_way = 0

        async def ask(number: int) -> str:
            nonlocal under_way
            under_way += 1
            if under_way == 5:
                everyone.set()
            await everyone.wait()
            return str(number)

        return await asyncio.wait_for(run_open_loop(ask, np.linspace(0, 0.05, 5)), 30)

    outcomes = asyncio.run(run())
    assert [outcome.kind for outcome in outcomes] == ["0", "1", "2", "3", "4"]
    assert outcomes[0].latency_s > 0.05, "the first one waited for the last one"


def test_goodput_counts_answers_while_the_load_lasts() -> None:
    outcomes = [
        Outcome(ANSWERED, 0.0, 1.0),  # before a fifth of the time has passed
        Outcome(ANSWERED, 1.0, 2.0),
        Outcome(ANSWERED, 4.0, 1.0),
        Outcome(ANSWERED, 9.0, 3.0),  # answered after the end
        Outcome("refused", 5.0, 0.1),
        Outcome("refused", 6.0, 0.1),
    ]
    row = load_row(0.6, 10, outcomes)
    assert row["goodput/s"] == 0.25
    assert row["p50 s"] == 2.0, "of those due after the first fifth"
    assert row["answered"] == 4
    assert row["not answered"] == "2 refused"
