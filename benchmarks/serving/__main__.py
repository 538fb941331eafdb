"""`make bench-serving`: gRPC and the gateway against the bare ranker, and both under rising load.

- closed loop: one question alone, then 16 mixed requests at a time. The bare ranker scores the same packed requests in
  this process. All three alternate within each round, and share the machine.
- open loop: small requests arrive at random (Poisson), at multiples of the closed loop's peak.

Writes benchmarks/results/serving.md, serving_closed.csv, serving_open.csv and serving.svg. Takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare_ranker import bare_ranker, merged, packed_requests, published_tokenizer, ranker_parameters
from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.processes import REPOSITORY, process_cpu_seconds, running_gateway, running_server
from benchmarks.results import Row, markdown_table, model_and_machine, result_file, write_csv, write_markdown
from benchmarks.serving.clients import ANSWERED, Ask, over_grpc, through_gateway
from benchmarks.serving.loops import closed_loop, open_loop, open_loop_row, poisson_times
from benchmarks.workload import mixed_questions, question_of_lengths
from packrank_backend.packing import PackedPairs
from packrank_backend.ranker.cpu_ranker import CpuRanker
from packrank_backend.text.question import Question
from packrank_build.progress import Progress

Client = Callable[[], AbstractAsyncContextManager[Ask]]

ALONE = Question(
    "how much protein should a female eat?",
    [f"Passage number {number} speaks of protein, and of what else a woman eats." for number in range(10)],
)
CONCURRENCY = 16
LOADS = (0.5, 1.0, 1.5, 2.0)
PEAK_CONCURRENCY = 32
SMALL_PASSAGES, SMALL_TOKENS = 5, (24, 64)
DEADLINE_S = 10.0
PATIENCE_S = 300.0  # deadline of the closed loops; the gateway's longest


def small_questions(tokenizer: Tokenizer, count: int) -> list[Question]:
    """Return questions of 5 passages with 24 to 64 tokens per pair, as a search result has them."""
    lengths = np.random.default_rng(0).integers(SMALL_TOKENS[0], SMALL_TOKENS[1] + 1, (count, SMALL_PASSAGES))
    return [question_of_lengths(tokenizer, row, seed) for seed, row in enumerate(lengths)]


def seconds_of(client: Client, questions: Sequence[Question], concurrency: int) -> float:
    """Return the seconds of one closed loop. Raises BenchmarkError when a question is not answered."""

    async def run() -> float:
        async with client() as ask:
            await ask(questions[0])  # opens the connection
            done = await closed_loop(ask, questions, concurrency)
        if done.outcomes.keys() != {ANSWERED}:
            raise BenchmarkError(f"a closed loop had failures: {dict(done.outcomes)}")
        return done.seconds

    return asyncio.run(run())


def bare_seconds(ranker: CpuRanker, batches: Sequence[Sequence[PackedPairs]]) -> float:
    """Return the seconds that the bare ranker takes for these merged batches."""
    began = time.perf_counter()
    for batch in batches:
        ranker.logits(batch)
    return time.perf_counter() - began


def closed_rows(
    clients: Mapping[str, Client],
    ranker: CpuRanker,
    tokenizer: Tokenizer,
    parameters: dict[str, int],
    *,
    requests: int,
    alone: int,
    rounds: int,
) -> list[Row]:
    """Return one row per client, with medians over rounds. Differences and ratios are taken within a round."""
    questions, limit = mixed_questions(requests), ranker.record.max_pair_tokens
    one, packed = packed_requests(tokenizer, [ALONE], limit), packed_requests(tokenizer, questions, limit)
    tokens, batches = sum(request.input_ids.size for request in packed), merged(packed, parameters)
    alone_s: dict[str, list[float]] = {name: [] for name in ("bare ranker", *clients)}
    mixed_s: dict[str, list[float]] = {name: [] for name in alone_s}
    for _ in range(rounds + 1):
        alone_s["bare ranker"].append(bare_seconds(ranker, [one] * alone) / alone)
        mixed_s["bare ranker"].append(bare_seconds(ranker, batches))
        for name, client in clients.items():
            alone_s[name].append(seconds_of(client, [ALONE] * alone, 1) / alone)
            mixed_s[name].append(seconds_of(client, questions, CONCURRENCY))
    # the first round warms up
    of_one, of_all = ({name: np.array(found[1:]) for name, found in each.items()} for each in (alone_s, mixed_s))
    return [
        {
            "": name,
            "alone, ms": round(1e3 * float(np.median(of_one[name])), 1),
            "added, ms": round(1e3 * float(np.median(of_one[name] - of_one["bare ranker"])), 1),
            f"{CONCURRENCY} at a time, tokens/s": round(tokens / float(np.median(of_all[name]))),
            "× bare ranker": round(float(np.median(of_all["bare ranker"] / of_all[name])), 3),
        }
        for name in of_one
    ]


def open_rows(
    clients: Mapping[str, Client], questions: Sequence[Question], peak: float, seconds: float, progress: Progress
) -> list[Row]:
    """Return one row for each client and load; each load is a multiple of `peak`, in requests per second."""

    async def one(client: Client, rate: float) -> Row:
        async with client() as ask:
            return open_loop_row(rate, seconds, await open_loop(ask, questions, poisson_times(rate, seconds, seed=1)))

    rows: list[Row] = []
    for name, client in clients.items():
        for load in LOADS:
            progress.step(f"{name}: {load:g} × {peak:.1f} requests/s for {seconds:g} s")
            row = asyncio.run(one(client, load * peak))
            rows.append({"": name, "load": load, **row, "goodput / peak": round(float(row["goodput/s"]) / peak, 2)})
    return rows


def main() -> int:
    """Run the command line of `make bench-serving`."""
    parser = argparse.ArgumentParser(prog="make bench-serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=48, help="mixed requests of a round")
    parser.add_argument("--alone", type=int, default=20, help="how often a round asks the single question")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small-requests", type=int, default=200, help="requests that measure the peak")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each load of the open loop")
    options = parser.parse_args()
    return exit_code("make bench-serving", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure the published model and write the report."""
    progress = Progress()
    tokenizer = published_tokenizer(REPOSITORY)
    with running_server(REPOSITORY, "serving") as server, running_gateway(server.grpc_endpoint) as gateway:

        def clients(deadline_s: float) -> dict[str, Client]:
            return {
                "gRPC": partial(over_grpc, server.grpc_endpoint, deadline_s),
                "gateway": partial(through_gateway, gateway.url, deadline_s),
            }

        parameters, before_s = ranker_parameters(server.grpc_endpoint), process_cpu_seconds([gateway.pid])
        progress.step(f"closed loop, {options.rounds} rounds")
        closed = closed_rows(
            clients(PATIENCE_S),
            bare_ranker(REPOSITORY, parameters),
            tokenizer,
            parameters,
            requests=options.requests,
            alone=options.alone,
            rounds=options.rounds,
        )
        gateway_ms = 1e3 * (process_cpu_seconds([gateway.pid]) - before_s)
        gateway_ms /= (options.rounds + 1) * (options.requests + options.alone + 2)
        progress.step(f"peak: {options.small_requests} small requests, {PEAK_CONCURRENCY} at a time")
        small = small_questions(tokenizer, options.small_requests)
        peak = len(small) / seconds_of(clients(PATIENCE_S)["gRPC"], small, PEAK_CONCURRENCY)
        opened = open_rows(clients(DEADLINE_S), small, peak, options.seconds, progress)
    write_report(closed, opened, peak, gateway_ms)


def write_report(closed: Sequence[Row], opened: Sequence[Row], peak: float, gateway_ms: float) -> None:
    """Write both tables, and a plot of latency against load."""
    from benchmarks.plots import line_plot  # noqa: PLC0415 - slow to import

    write_csv("serving_closed", closed)
    write_csv("serving_open", opened)
    line_plot(
        result_file("serving.svg"),
        {
            f"{client}, {column}": [(float(r["load"]), float(r[f"{column} s"])) for r in opened if r[""] == client]
            for client in dict.fromkeys(str(row[""]) for row in opened)
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
        "One question of 10 short passages alone, then mixed requests. The bare ranker scores the same pairs in "
        f"process. The gateway takes {gateway_ms:.1f} ms of processor time per request.",
        markdown_table(closed),
        f"Open loop: {SMALL_PASSAGES} passages of {SMALL_TOKENS[0]} to {SMALL_TOKENS[1]} tokens per request, deadline "
        f"{DEADLINE_S:g} s. The peak of a closed loop is {peak:.1f} requests/s.",
        markdown_table(opened),
    )


if __name__ == "__main__":
    sys.exit(main())
