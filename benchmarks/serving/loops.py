"""Drive a server in a closed loop (users wait for answers) or an open loop (users arrive at random)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Row
from benchmarks.serving.clients import ANSWERED, Ask
from packrank_backend.text.question import Question


@dataclass(frozen=True)
class Outcome:
    """One request of an open loop: ANSWERED or a kind of failure, when it was due, and seconds from then on."""

    kind: str
    due_s: float
    latency_s: float


@dataclass(frozen=True)
class ClosedLoop:
    """The result of a closed loop: seconds in all, seconds per request, and how often each outcome came."""

    seconds: float
    latencies_s: list[float]
    outcomes: Counter[str]


async def closed_loop(
    ask: Ask,
    questions: Sequence[Question],
    concurrency: int,
    requests: int | None = None,
    after: Callable[[int], None] = lambda _: None,
) -> ClosedLoop:
    """Keep `concurrency` requests in flight until `requests` are answered; by default each question once.

    Questions repeat in order. `after` gets the number of answers after each one.
    """
    numbers = itertools.count()
    most = len(questions) if requests is None else requests
    latencies: list[float] = []
    outcomes: Counter[str] = Counter()

    async def work() -> None:
        while (number := next(numbers)) < most:
            began = time.perf_counter()
            outcomes[await ask(questions[number % len(questions)])] += 1
            latencies.append(time.perf_counter() - began)
            after(len(latencies))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return ClosedLoop(time.perf_counter() - began, latencies, outcomes)


def poisson_times(rate_per_s: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Return when requests are due: FP64 [requests] from 0 to `seconds`, exponential gaps of mean 1 / rate."""
    gaps = np.random.default_rng(seed).exponential(1 / rate_per_s, int(rate_per_s * seconds * 2) + 50)
    times = np.cumsum(gaps)
    return times[times < seconds]


async def open_loop(ask: Ask, questions: Sequence[Question], times: NDArray[np.float64]) -> list[Outcome]:
    """Send a question at each time, without waiting for earlier answers; return every outcome.

    Latency counts from when a request was due, even if this process sent it late.
    """
    began = time.perf_counter()

    async def one(number: int, due_s: float) -> Outcome:
        await asyncio.sleep(due_s - (time.perf_counter() - began))
        kind = await ask(questions[number % len(questions)])
        return Outcome(kind, due_s, time.perf_counter() - began - due_s)

    return await asyncio.gather(*(one(number, float(due_s)) for number, due_s in enumerate(times)))


def open_loop_row(rate_per_s: float, seconds: float, outcomes: Sequence[Outcome]) -> Row:
    """Return one row of the report.

    Goodput counts answers that came during the load, per second. The first fifth is left out, because a queue may
    still be filling. Latencies are of answered requests that were due after it.
    """
    start = seconds / 5
    kinds = Counter(outcome.kind for outcome in outcomes)
    answered = [outcome for outcome in outcomes if outcome.kind == ANSWERED]
    in_time = sum(start <= outcome.due_s + outcome.latency_s < seconds for outcome in answered)
    latencies = [outcome.latency_s for outcome in answered if outcome.due_s >= start]
    percentiles = np.percentile(latencies, (50, 95, 99)) if latencies else np.full(3, np.nan)
    failures = {kind: count for kind, count in sorted(kinds.items()) if kind != ANSWERED}
    return {
        "offered/s": round(rate_per_s, 2),
        "goodput/s": round(in_time / (seconds - start), 2),
        **{f"p{name} s": round(float(value), 3) for name, value in zip((50, 95, 99), percentiles, strict=True)},
        "answered": kinds[ANSWERED],
        "not answered": ", ".join(f"{count} {kind}" for kind, count in failures.items()) or "none",
    }
