"""Requests at random times that do not wait for answers, as independent users send them.

perf_analyzer's request-rate mode does this over gRPC, but it neither speaks the gateway's HTTP API nor counts refused
requests apart: it stops at the first error.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

ANSWERED = "answered"


@dataclass(frozen=True)
class Outcome:
    """What became of one request: ANSWERED or a kind of failure; seconds since the time it was due."""

    kind: str
    due_s: float
    latency_s: float


def poisson_times(rate_per_s: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """When requests are due, FP64 [requests] from 0 to `seconds`: exponential gaps with mean 1 / rate."""
    gaps = np.random.default_rng(seed).exponential(1 / rate_per_s, int(rate_per_s * seconds * 2) + 50)
    times = np.cumsum(gaps)
    return times[times < seconds]


async def run_open_loop(ask: Callable[[int], Awaitable[str]], times: NDArray[np.float64]) -> list[Outcome]:
    """Call `ask` with 0, 1, 2, ... when each is due, and wait for every answer; `ask` returns the outcome's kind.

    Latency counts from when a request was due, also if this process was late to send it.
    """
    began = time.perf_counter()

    async def one(number: int, due_s: float) -> Outcome:
        await asyncio.sleep(due_s - (time.perf_counter() - began))
        kind = await ask(number)
        return Outcome(kind, due_s, time.perf_counter() - began - due_s)

    return await asyncio.gather(*(one(number, float(due_s)) for number, due_s in enumerate(times)))


def load_row(rate_per_s: float, seconds: float, outcomes: list[Outcome]) -> dict[str, float | str]:
    """One row of the report.

    Goodput counts answers that came while the load lasted, per second of it, the first fifth left out: until then a
    queue may still be filling. Latencies are of the answered requests that were due after it.
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


class HttpConnections:
    """Connections that are kept open, with nothing but sockets: an HTTP library would take a share of the machine."""

    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        self._address = urlsplit(url)
        lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json"]
        self._head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())])
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer, on an idle connection or a new one."""
        streams = self._idle.pop() if self._idle else None
        reader, writer = streams or await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(f"{self._head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        answer = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split()[1]), answer

    def close(self) -> None:
        """Close the connections that are idle."""
        for _, writer in self._idle:
            writer.close()
