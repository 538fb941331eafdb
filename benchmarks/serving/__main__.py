"""`make bench-serving`: gRPC and the gateway against the bare ranker, and both under rising load.

- closed loop: one question alone, then 16 mixed requests at a time. The bare ranker scores the same packed requests in
  this process. All three alternate within each round, and share the machine.
- open loop: small requests arrive at random (Poisson), at multiples of the closed loop's peak.

Writes benchmarks/results/serving.md, serving_closed.csv, serving_open.csv and serving.svg. Takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare_ranker import bare_ranker, merged, packed_requests, published_tokenizer, ranker_parameters
from benchmarks.processes import REPOSITORY, process_cpu_seconds, running_gateway, running_server
from benchmarks.results import Row, markdown_table, model_and_machine, result_file, write_csv, write_markdown
from benchmarks.serving.loops import closed_loop, open_loop, open_loop_row, poisson_times
from benchmarks.serving.ways import ANSWERED, Ask, over_grpc, through_gateway
from benchmarks.workload import mixed_questions, question_of_lengths
from packrank_backend.build_record import StaleBuild
from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.packing import PackedPairs
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_server.tritonserver import ServerStartError

Way = Callable[[], AbstractAsyncContextManager[Ask]]

ALONE = Question(
    "how much protein should a female eat?",
    [f"Passage number {number} speaks of protein, and of what else a woman eats." for number in range(10)],
)
CONCURRENCY = 16
LOADS = (0.5, 1.0, 1.5, 2.0)
PEAK_CONCURRENCY, PEAK_REQUESTS = 32, 200
SNIPPETS, SNIPPET_TOKENS = 5, (24, 64)
DEADLINE_S = 10.0
PATIENCE_S = 600.0  # deadline of the closed loops, whose queue is short


def snippet_questions(tokenizer: Tokenizer, count: int) -> list[Question]:
    """Return questions of 5 passages with 24 to 64 tokens per pair, as a search result has them."""
    lengths = np.random.default_rng(0).integers(SNIPPET_TOKENS[0], SNIPPET_TOKENS[1] + 1, (count, SNIPPETS))
    return [question_of_lengths(tokenizer, row, seed) for seed, row in enumerate(lengths)]


def seconds_of(way: Way, questions: Sequence[Question], concurrency: int) -> float:
    """Return the seconds of one closed loop. Raises RuntimeError when a question is not answered."""

    async def run() -> float:
        async with way() as ask:
            await ask(questions[0])  # opens the connection
            done = await closed_loop(ask, questions, concurrency)
        if done.outcomes.keys() != {ANSWERED}:
            raise RuntimeError(f"a closed loop had failures: {dict(done.outcomes)}")
        return done.seconds

    return asyncio.run(run())


def bare_seconds(ranker: CpuRanker, batches: Sequence[Sequence[PackedPairs]]) -> float:
    """Return the seconds that the bare ranker takes for these merged batches."""
    began = time.perf_counter()
    for batch in batches:
        ranker.logits(batch)
    return time.perf_counter() - began


def closed_rows(
    ways: Mapping[str, Way],
    ranker: CpuRanker,
    tokenizer: Tokenizer,
    parameters: dict[str, int],
    gateway_cpu: Callable[[], float],
    *,
    requests: int,
    rounds: int,
    alone: int,
) -> list[Row]:
    """Return one row for each way and load. Figures are medians; ratios and differences are taken within a round."""
    questions = mixed_questions(requests)
    alone_packed, packed = (
        packed_requests(tokenizer, qs, ranker.record.max_pair_tokens) for qs in ([ALONE], questions)
    )
    tokens = sum(request.input_ids.size for request in packed)
    batches = merged(packed, parameters)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("bare ranker", *ways)}
    cpu_ms = []
    for number in range(rounds + 1):  # the first one warms up
        took = {"bare ranker": (bare_seconds(ranker, [alone_packed] * alone) / alone, bare_seconds(ranker, batches))}
        for name, way in ways.items():
            before = gateway_cpu()
            took[name] = seconds_of(way, [ALONE] * alone, 1) / alone, seconds_of(way, questions, CONCURRENCY)
            if name == "gateway" and number:
                cpu_ms.append(1e3 * (gateway_cpu() - before) / (alone + requests + 2))
        for name, found in took.items():
            seconds[name] += [found] if number else []
    bare = seconds["bare ranker"]
    rows: list[Row] = []
    for name, measured in seconds.items():
        added = statistics.median(1e3 * (way[0] - base[0]) for way, base in zip(measured, bare, strict=True))
        ratio = statistics.median(base[1] / way[1] for way, base in zip(measured, bare, strict=True))
        rows.append(
            {
                "": name,
                "alone, ms": round(1e3 * statistics.median(one for one, _ in measured), 1),
                "added, ms": round(added, 1),
                f"{CONCURRENCY} at a time, tokens/s": round(tokens / statistics.median(all_ for _, all_ in measured)),
                "× bare ranker": round(ratio, 3),
                "gateway's processor time, ms/request": round(statistics.median(cpu_ms), 2)
                if name == "gateway"
                else "",
            }
        )
    return rows


def open_rows(
    ways: Mapping[str, Way], questions: Sequence[Question], peak: float, seconds: float, progress: Progress
) -> list[Row]:
    """Return one row for each way and load; each load is a multiple of `peak`, in requests per second."""

    async def one(way: Way, rate: float) -> Row:
        async with way() as ask:
            return open_loop_row(rate, seconds, await open_loop(ask, questions, poisson_times(rate, seconds, seed=1)))

    rows: list[Row] = []
    for name, way in ways.items():
        for load in LOADS:
            progress.step(f"{name}: {load:g} × {peak:.1f} requests/s for {seconds:g} s")
            row = asyncio.run(one(way, load * peak))
            rows.append({"": name, "load": load, **row, "goodput / peak": round(float(row["goodput/s"]) / peak, 2)})
    return rows


def main() -> int:
    """Run the command line of `make bench-serving`."""
    parser = argparse.ArgumentParser(prog="make bench-serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=48, help="mixed requests of a round")
    parser.add_argument("--alone", type=int, default=20, help="how often a round asks the single question")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each load of the open loop")
    options = parser.parse_args()
    progress = Progress()
    tokenizer = published_tokenizer(REPOSITORY)
    snippets = snippet_questions(tokenizer, 64)
    try:
        with running_server(REPOSITORY, "serving") as server, running_gateway(server.grpc_endpoint) as gateway:
            endpoint = server.grpc_endpoint
            parameters = ranker_parameters(endpoint)
            patient: dict[str, Way] = {
                "gRPC": lambda: over_grpc(endpoint, PATIENCE_S),
                "gateway": lambda: through_gateway(gateway.url, 300.0),
            }
            hurried: dict[str, Way] = {
                "gRPC": lambda: over_grpc(endpoint, DEADLINE_S),
                "gateway": lambda: through_gateway(gateway.url, DEADLINE_S),
            }
            progress.step(f"closed loop, {options.rounds} rounds")
            closed = closed_rows(
                patient,
                bare_ranker(REPOSITORY, parameters),
                tokenizer,
                parameters,
                lambda: process_cpu_seconds([gateway.pid]),
                requests=options.requests,
                rounds=options.rounds,
                alone=options.alone,
            )
            progress.step(f"peak: {PEAK_REQUESTS} small requests, {PEAK_CONCURRENCY} at a time")
            many = [snippets[number % len(snippets)] for number in range(PEAK_REQUESTS)]
            peak = PEAK_REQUESTS / seconds_of(patient["gRPC"], many, PEAK_CONCURRENCY)
            opened = open_rows(hurried, snippets, peak, options.seconds, progress)
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-serving: {error}", file=sys.stderr)
        return 1
    write_report(closed, opened, peak)
    return 0


def write_report(closed: Sequence[Row], opened: Sequence[Row], peak: float) -> None:
    """Write both tables, and a plot of latency against load."""
    from benchmarks.plots import line_plot  # noqa: PLC0415 - slow to import

    write_csv("serving_closed", closed)
    write_csv("serving_open", opened)
    line_plot(
        result_file("serving.svg"),
        {
            f"{way}, {column}": [(float(r["load"]), float(r[f"{column} s"])) for r in opened if r[""] == way]
            for way in dict.fromkeys(str(row[""]) for row in opened)
            for column in ("p50", "p99")
        },
        title="Latency of answered requests against open-loop load",
        x="offered load / peak throughput",
        y="seconds",
        log_y=True,
    )
    write_markdown(
        "serving",
        model_and_machine(REPOSITORY),
        "One question of 10 short passages alone, and mixed requests; the bare ranker scores the same pairs in process:",
        markdown_table(closed),
        f"Open loop: {SNIPPETS} passages of {SNIPPET_TOKENS[0]} to {SNIPPET_TOKENS[1]} tokens per request, deadline "
        f"{DEADLINE_S:g} s. The peak of a closed loop is {peak:.1f} requests/s.",
        markdown_table(opened),
    )


if __name__ == "__main__":
    sys.exit(main())
