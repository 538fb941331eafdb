"""`make bench-load`: open-loop load up to twice what the machine can do, over gRPC and through the gateway.

Requests of 5 short passages come at random times (Poisson) and do not wait for one another. Three ways:

- perf_analyzer: its request-rate mode straight to Triton, without deadlines;
- grpc: the product's client straight to Triton, with a deadline;
- gateway: HTTP through the gateway, with the same deadline.

Leaves benchmarks/results/load_<way>.csv of each way that ran, load.md and load.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.length_mixes import question_of_lengths
from benchmarks.local_ensemble import REPOSITORY, model_and_machine, published_tokenizer, served
from benchmarks.open_loop import ANSWERED, HttpConnections, load_row, poisson_times, run_open_loop
from benchmarks.perf_analyzer import PerfAnalyzerError, run_perf_analyzer
from benchmarks.plots import line_plot
from benchmarks.report import RESULTS, Row, markdown_table, write_csv, write_markdown
from benchmarks.workload import perf_analyzer_data
from packrank_backend.build_record import StaleBuild
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_client import AsyncRerankClient, DeadlineExceeded, RerankError
from packrank_server.tritonserver import ServerStartError
from tests.support.running_gateway import running_gateway

WAYS = ("perf_analyzer", "grpc", "gateway")
LOADS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0)
PASSAGES = 5
SHORTEST_TOKENS, LONGEST_TOKENS = 24, 64
DEADLINE_S = 10.0
PEAK_CONCURRENCY = 32
PEAK_REQUESTS = 200


def load_questions(repository: Path, count: int) -> list[Question]:
    """Questions of 5 passages with 24 to 64 tokens a pair: snippets of a search."""
    tokenizer = published_tokenizer(repository)
    lengths = np.random.default_rng(0).integers(SHORTEST_TOKENS, LONGEST_TOKENS + 1, (count, PASSAGES))
    return [question_of_lengths(tokenizer, row, seed) for seed, row in enumerate(lengths)]


async def peak_requests_per_s(endpoint: str, questions: Sequence[Question], requests: int) -> float:
    """Closed loop: PEAK_CONCURRENCY requests under way at any time."""
    places = asyncio.Semaphore(PEAK_CONCURRENCY)
    async with AsyncRerankClient(endpoint, timeout_s=600) as client:

        async def ask(number: int) -> None:
            question = questions[number % len(questions)]
            async with places:
                await client.rerank(question.query, question.passages)

        await asyncio.gather(*map(ask, range(PEAK_CONCURRENCY)))
        began = time.perf_counter()
        await asyncio.gather(*map(ask, range(requests)))
        return requests / (time.perf_counter() - began)


async def grpc_row(endpoint: str, questions: Sequence[Question], rate: float, seconds: float) -> Row:
    """One rate straight to Triton, every request with the deadline."""
    async with AsyncRerankClient(endpoint) as client:

        async def ask(number: int) -> str:
            question = questions[number % len(questions)]
            try:
                await client.rerank(question.query, question.passages, timeout_s=DEADLINE_S)
            except DeadlineExceeded:
                return "over deadline"
            except RerankError as error:
                return type(error).__name__
            return ANSWERED

        return load_row(rate, seconds, await run_open_loop(ask, poisson_times(rate, seconds, seed=1)))


async def gateway_row(url: str, questions: Sequence[Question], rate: float, seconds: float) -> Row:
    """One rate through the gateway, every request with the deadline."""
    bodies = [json.dumps({"query": q.query, "documents": list(q.passages)}).encode() for q in questions]
    connections = HttpConnections(url, "/v2/rerank", {"x-request-timeout-s": f"{DEADLINE_S:g}"})
    kinds = {200: ANSWERED, 429: "refused (429)", 504: "over deadline"}

    async def ask(number: int) -> str:
        status, _ = await connections.post(bodies[number % len(bodies)])
        return kinds.get(status, f"status {status}")

    try:
        return load_row(rate, seconds, await run_open_loop(ask, poisson_times(rate, seconds, seed=1)))
    finally:
        connections.close()


def perf_analyzer_row(binary: Path, endpoint: str, questions: Sequence[Question], rate: float, seconds: float) -> Row:
    """One rate straight to Triton, without deadlines; perf_analyzer waits for every answer."""
    with tempfile.TemporaryDirectory() as work:
        data = Path(work, "load.json")
        data.write_text(json.dumps(perf_analyzer_data(questions)), encoding="utf-8")
        requests = math.ceil(rate * seconds)
        load = run_perf_analyzer(binary, endpoint, data, requests=requests, requests_per_s=rate)
    return {
        "offered/s": round(rate, 2),
        "goodput/s": round(load.requests_per_s, 2),
        "p50 s": round(load.p50_ms / 1e3, 3),
        "p95 s": round(load.p95_ms / 1e3, 3),
        "p99 s": round(load.p99_ms / 1e3, 3),
        "answered": requests,
        "not answered": "none",
    }


def measure(
    ways: Sequence[str],
    binary: Path,
    endpoint: str,
    gateway_url: str,
    questions: Sequence[Question],
    *,
    loads: Sequence[float],
    seconds: float,
    peak_requests: int = PEAK_REQUESTS,
) -> dict[str, list[Row]]:
    """A table for each way; every load is a multiple of the peak that is measured first."""
    progress = Progress()
    progress.step(f"peak: {peak_requests} requests, {PEAK_CONCURRENCY} at a time")
    peak = asyncio.run(peak_requests_per_s(endpoint, questions, peak_requests))
    tables: dict[str, list[Row]] = {way: [] for way in ways}
    for way, rows in tables.items():
        for load in loads:
            rate = load * peak
            progress.step(f"{way}: {load:g} x {peak:.1f} requests/s for {seconds:g} s")
            if way == "perf_analyzer":
                row = perf_analyzer_row(binary, endpoint, questions, rate, seconds)
            elif way == "grpc":
                row = asyncio.run(grpc_row(endpoint, questions, rate, seconds))
            else:
                row = asyncio.run(gateway_row(gateway_url, questions, rate, seconds))
            rows.append({"load": load, **row, "goodput / peak": round(float(row["goodput/s"]) / peak, 2)})
    return tables


def report(tables: Mapping[str, Sequence[Row]], repository: Path) -> str:
    """The tables as Markdown; leaves a CSV of each, and load.svg."""
    parts = [
        f"Open-loop load, Poisson, {PASSAGES} passages of {SHORTEST_TOKENS} to {LONGEST_TOKENS} tokens a request, "
        f"deadline {DEADLINE_S:g} s (perf_analyzer: none). {model_and_machine(repository)}"
    ]
    series = {}
    for way, rows in tables.items():
        write_csv(f"load_{way}", rows)
        parts += [f"### {way}", markdown_table(rows)]
        for column in ("p50", "p99"):
            series[f"{way}, {column}"] = [(float(row["load"]), float(row[f"{column} s"])) for row in rows]
    line_plot(
        RESULTS / "load.svg",
        series,
        title="Latency of answered requests against open-loop load",
        x="offered load / peak throughput",
        y="seconds",
        log_y=True,
    )
    return "\n\n".join(parts)


def main() -> int:
    """Command line of `make bench-load`."""
    parser = argparse.ArgumentParser(prog="make bench-load", description=__doc__)
    parser.add_argument("perf_analyzer", type=Path, help="the binary")
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="multiples of the peak throughput")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each load")
    options = parser.parse_args()
    questions = load_questions(options.repository, 64)
    try:
        with served(options.repository, "load") as server, running_gateway(server.grpc_endpoint) as gateway:
            tables = measure(
                options.ways,
                options.perf_analyzer,
                server.grpc_endpoint,
                gateway.url,
                questions,
                loads=options.loads,
                seconds=options.seconds,
            )
    except (PerfAnalyzerError, RerankError, ServerStartError, StaleBuild) as error:
        print(f"make bench-load: {error}", file=sys.stderr)
        return 1
    write_markdown("load", report(tables, options.repository))
    return 0


if __name__ == "__main__":
    sys.exit(main())
