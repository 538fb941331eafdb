import asyncio

import numpy as np
import pytest

from benchmarks.serving.clients import ANSWERED
from benchmarks.serving.loops import Outcome, closed_loop, open_loop, open_loop_row, poisson_times
from packrank_backend.text.question import Question

QUESTIONS = [Question(str(number), ["a"]) for number in range(5)]


def test_requests_come_at_random_but_as_often_as_asked() -> None:
    times = poisson_times(100, 50, seed=0)
    assert len(times) == pytest.approx(5000, rel=0.05)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05), "exponential: as wide as its mean"
    assert times.min() >= 0
    assert times.max() < 50
    assert np.array_equal(times, poisson_times(100, 50, seed=0))


def test_no_request_of_an_open_loop_waits_for_another() -> None:
    async def run() -> list[Outcome]:
        everyone = asyncio.Event()
        under_way = 0

        async def ask(question: Question) -> str:
            nonlocal under_way
            under_way += 1
            if under_way == 5:
                everyone.set()
            await everyone.wait()
            return question.query

        return await asyncio.wait_for(open_loop(ask, QUESTIONS, np.linspace(0, 0.05, 5)), 30)

    outcomes = asyncio.run(run())
    assert [outcome.kind for outcome in outcomes] == ["0", "1", "2", "3", "4"]
    assert outcomes[0].latency_s > 0.05, "the first one waited for the last one"


def test_a_closed_loop_keeps_its_concurrency_and_repeats_the_questions() -> None:
    asked: list[str] = []
    under_way: list[int] = [0]
    answered: list[int] = []

    async def ask(question: Question) -> str:
        asked.append(question.query)
        under_way.append(under_way[-1] + 1)
        await asyncio.sleep(0)
        under_way.append(under_way[-1] - 1)
        return ANSWERED

    done = asyncio.run(closed_loop(ask, QUESTIONS, 3, requests=12, after=answered.append))
    assert asked == ["0", "1", "2", "3", "4", "0", "1", "2", "3", "4", "0", "1"]
    assert max(under_way) == 3
    assert done.outcomes == {ANSWERED: 12}
    assert len(done.latencies_s) == 12
    assert answered == list(range(1, 13))
    assert asyncio.run(closed_loop(ask, QUESTIONS, 2)).outcomes == {ANSWERED: 5}


def test_goodput_counts_answers_while_the_load_lasts() -> None:
    outcomes = [
        Outcome(ANSWERED, 0.0, 1.0),  # before a fifth of the time has passed
        Outcome(ANSWERED, 1.0, 2.0),
        Outcome(ANSWERED, 4.0, 1.0),
        Outcome(ANSWERED, 9.0, 3.0),  # answered after the end
        Outcome("refused", 5.0, 0.1),
        Outcome("refused", 6.0, 0.1),
    ]
    row = open_loop_row(0.6, 10, outcomes)
    assert row["goodput/s"] == 0.25
    assert row["p50 s"] == 2.0, "of those due after the first fifth"
    assert row["answered"] == 4
    assert row["not answered"] == "2 refused"
