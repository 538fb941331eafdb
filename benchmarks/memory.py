"""`make bench-memory`: memory of server and gateway when idle, under load, over many requests and in a burst.

Memory is PSS, in MiB. Writes benchmarks/results/memory.md and memory.csv. Takes about an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer

from benchmarks.bare_ranker import published_tokenizer
from benchmarks.errors import exit_code
from benchmarks.processes import REPOSITORY, Gateway, memory_mib, running_gateway, running_server
from benchmarks.results import Row, markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.serving.clients import through_gateway
from benchmarks.serving.loops import closed_loop
from benchmarks.workload import mixed_questions, question_of_lengths
from packrank_backend.text.question import Question
from packrank_build.progress import Progress
from packrank_server.tritonserver import TritonServer

CONCURRENCY = 16
DEADLINE_S = 300.0
SAMPLES = 80
BURST_PASSAGES, BURST_DEADLINE_S = 100, 20.0
# One request in 500 is large, so that buffers of every size are allocated and freed.
LARGE_EVERY = 500

Memory = dict[str, float]
"""PSS in MiB by process."""


def slope_per_1000(requests: Sequence[float], mib: Sequence[float]) -> float:
    """Return the MiB that 1,000 requests add: least squares over the second half."""
    half = len(requests) // 2
    return 1000 * float(np.polyfit(requests[half:], mib[half:], 1)[0])


def small_questions(tokenizer: Tokenizer) -> list[Question]:
    """Return LARGE_EVERY questions of one passage with 16 to 24 tokens; the last has 10 of up to 200 tokens."""
    random = np.random.default_rng(0)
    small = [question_of_lengths(tokenizer, random.integers(16, 25, 1), seed) for seed in range(LARGE_EVERY - 1)]
    return [*small, question_of_lengths(tokenizer, random.integers(16, 201, 10), LARGE_EVERY)]


def asked(
    url: str,
    questions: Sequence[Question],
    requests: int,
    concurrency: int,
    read: Callable[[], Memory],
    *,
    deadline_s: float = DEADLINE_S,
    after: Callable[[int], None] = lambda _: None,
) -> tuple[Memory, Counter[str]]:
    """Send requests through the gateway; return each process's highest memory meanwhile, and the outcomes."""
    highest: Memory = {}

    async def run() -> Counter[str]:
        async with through_gateway(url, deadline_s) as ask:
            work = asyncio.create_task(closed_loop(ask, questions, concurrency, requests, after))
            while not work.done():
                for name, value in read().items():
                    highest[name] = max(value, highest.get(name, 0.0))
                await asyncio.wait((work,), timeout=0.1)
            return work.result().outcomes

    outcomes = asyncio.run(run())
    return highest, outcomes


def state_row(state: str, memory: Memory) -> Row:
    """Return one row of the table: every process, and their sum."""
    rounded = {name: round(value) for name, value in memory.items()}
    return {"state": state, **rounded, "sum": round(sum(memory.values()))}


def main() -> int:
    """Run the command line of `make bench-memory`."""
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--mixed-requests", type=int, default=32, help="requests of 1 to 20 passages")
    parser.add_argument("--burst", type=int, default=1000, help="requests of the burst")
    options = parser.parse_args()
    return exit_code("make bench-memory", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure the published model and write the report."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the burst opens a connection per request
    with running_server(REPOSITORY, "memory") as server, running_gateway(server.grpc_endpoint) as gateway:
        states, sentences = measure(options, published_tokenizer(REPOSITORY), server, gateway)
    write_csv("memory", states)
    write_markdown("memory", f"PSS in MiB. {model_and_machine(REPOSITORY)}", markdown_table(states), *sentences)


def measure(
    options: argparse.Namespace, tokenizer: Tokenizer, server: TritonServer, gateway: Gateway
) -> tuple[list[Row], list[str]]:
    """Return a row for each state, and sentences about growth and the burst."""
    progress = Progress()

    def read() -> Memory:
        return memory_mib(server.process.pid, gateway.pid)

    states = [state_row("started", read())]
    progress.step(f"{options.mixed_requests} mixed requests of 1 to 20 passages, {CONCURRENCY} at a time")
    mixed = mixed_questions(options.mixed_requests)
    highest, _ = asked(gateway.url, mixed, len(mixed), CONCURRENCY, read)
    states += [state_row("highest under mixed load", highest), state_row("idle after it", read())]

    progress.step(f"{options.requests} small requests, {CONCURRENCY} at a time")
    samples: list[tuple[int, Memory]] = []

    def note(answered: int) -> None:
        if answered % max(1, options.requests // SAMPLES) == 0:
            samples.append((answered, read()))
            progress.detail(f"{answered} answered, {sum(samples[-1][1].values()):.0f} MiB")

    _, outcomes = asked(gateway.url, small_questions(tokenizer), options.requests, CONCURRENCY, read, after=note)
    states.append(state_row(f"idle after {options.requests:,} requests more", read()))
    requests = [float(count) for count, _ in samples]
    of_gateway = slope_per_1000(requests, [memory["gateway"] for _, memory in samples])
    in_all = slope_per_1000(requests, [sum(memory.values()) for _, memory in samples])
    growth = (
        f"{options.requests:,} requests: {dict(outcomes)}. Over the second half, 1,000 requests add "
        f"{in_all - of_gateway:+.2f} MiB to the server and {of_gateway:+.2f} MiB to the gateway."
    )

    large = Question("why?", [f"{number}: {'protein ' * 60}" for number in range(BURST_PASSAGES)])
    progress.step(f"a burst of {options.burst} requests of {BURST_PASSAGES} passages")
    highest, outcomes = asked(gateway.url, [large], options.burst, options.burst, read, deadline_s=BURST_DEADLINE_S)
    states += [state_row("highest in the burst", highest), state_row("idle after the burst", read())]
    burst = (
        f"Burst: {options.burst:,} requests at once, {BURST_PASSAGES} passages each, deadline {BURST_DEADLINE_S:g} s: "
        f"{dict(outcomes)}."
    )
    return states, [growth, burst]


if __name__ == "__main__":
    sys.exit(main())
