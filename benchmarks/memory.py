"""`make bench-memory`: what server and gateway hold in memory, idle, under load, over many requests, and in a burst.

Memory is PSS, which counts a page that several processes share once (Linux: Documentation/filesystems/proc.rst,
smaps_rollup). Leaves benchmarks/results/memory.md, memory_states.csv, memory_growth.csv and memory.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.length_mixes import question_of_lengths
from benchmarks.local_ensemble import REPOSITORY, model_and_machine, published_tokenizer, served
from benchmarks.open_loop import HttpConnections
from benchmarks.plots import line_plot
from benchmarks.report import RESULTS, Row, markdown_table, write_csv, write_markdown
from benchmarks.workload import mixed_questions
from packrank_backend.build_record import StaleBuild
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import ServerStartError, TritonServer
from tests.support.running_gateway import RunningGateway, running_gateway

CONCURRENCY = 16
SAMPLES = 80
BURST_REQUESTS, BURST_PASSAGES, BURST_DEADLINE_S = 1000, 100, 20.0
# One request in so many is large, so that buffers of every size are taken and given back.
LARGE_EVERY = 500

Memory = dict[str, float]


def pss_mib(rollup: str) -> float:
    """The PSS of one process in MiB, from the text of its smaps_rollup."""
    for line in rollup.splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) / 1024
    raise ValueError("no Pss in smaps_rollup")


def memory(server: TritonServer, gateway: RunningGateway) -> Memory:
    """PSS in MiB of tritonserver, of each model's process, and of the gateway."""
    pids = {"tritonserver": server.process.pid, "gateway": gateway.process.pid}
    pids |= {f"model {name}": pid for pid, name in stub_processes(server.process.pid).items()}
    return {name: pss_mib(Path(f"/proc/{pid}/smaps_rollup").read_text()) for name, pid in sorted(pids.items())}


def slope_per_1000(requests: Sequence[float], mib: Sequence[float]) -> float:
    """MiB that 1,000 requests add over the second half: the slope of least squares."""
    half = len(requests) // 2
    return 1000 * float(np.polyfit(requests[half:], mib[half:], 1)[0])


def small_questions(repository: Path) -> list[Question]:
    """Questions of one passage with 16 to 24 tokens a pair; the last of LARGE_EVERY has 10 of up to 200 tokens."""
    tokenizer = published_tokenizer(repository)
    random = np.random.default_rng(0)
    small = [question_of_lengths(tokenizer, random.integers(16, 25, 1), seed) for seed in range(LARGE_EVERY - 1)]
    return [*small, question_of_lengths(tokenizer, random.integers(16, 201, 10), LARGE_EVERY)]


def body_of(question: Question) -> bytes:
    """The question in Cohere's words."""
    return json.dumps({"query": question.query, "documents": list(question.passages)}).encode()


async def ask_all(
    url: str,
    bodies: Sequence[bytes],
    requests: int,
    concurrency: int,
    after: Callable[[int], None] = lambda _: None,
    deadline_s: float = 300.0,
) -> collections.Counter[int]:
    """Send `requests` of the bodies in turns; statuses and how often. `after` is told how many have been answered."""
    connections = HttpConnections(url, "/v2/rerank", {"x-request-timeout-s": f"{deadline_s:g}"})
    numbers = itertools.count()
    statuses: collections.Counter[int] = collections.Counter()

    async def work() -> None:
        while (number := next(numbers)) < requests:
            status, _ = await connections.post(bodies[number % len(bodies)])
            statuses[status] += 1
            after(statuses.total())

    await asyncio.gather(*(work() for _ in range(concurrency)))
    connections.close()
    return statuses


async def sampled(work: asyncio.Task[collections.Counter[int]], sample: Callable[[], None]) -> None:
    """Call `sample` ten times a second until the work is done."""
    while not work.done():
        sample()
        await asyncio.wait((work,), timeout=0.1)


@contextlib.contextmanager
def many_connections() -> Iterator[None]:
    """As many open files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Highest:
    """The highest reading of each process."""

    def __init__(self, read: Callable[[], Memory]) -> None:
        self._read = read
        self.memory: Memory = {}

    def __call__(self) -> None:
        """Read once more."""
        for name, value in self._read().items():
            self.memory[name] = max(value, self.memory.get(name, 0.0))


async def highest_during(
    url: str,
    bodies: Sequence[bytes],
    requests: int,
    concurrency: int,
    read: Callable[[], Memory],
    deadline_s: float = 300.0,
) -> tuple[Memory, collections.Counter[int]]:
    """The highest memory of each process while requests are answered, and their statuses."""
    highest = Highest(read)
    work = asyncio.create_task(ask_all(url, bodies, requests, concurrency, deadline_s=deadline_s))
    await sampled(work, highest)
    return highest.memory, work.result()


def state_row(state: str, read: Memory) -> Row:
    """One row of the table: every process, and their sum."""
    return {"state": state, **{name: round(value) for name, value in read.items()}, "sum": round(sum(read.values()))}


def main() -> int:
    """Command line of `make bench-memory`."""
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--mixed-requests", type=int, default=32, help="requests of the load")
    parser.add_argument("--burst", type=int, default=BURST_REQUESTS, help="requests of the burst, 0: none")
    options = parser.parse_args()
    try:
        with (
            many_connections(),
            served(options.repository, "memory") as server,
            running_gateway(server.grpc_endpoint) as gateway,
        ):
            measure(options, server, gateway)
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-memory: {error}", file=sys.stderr)
        return 1
    return 0


def measure(options: argparse.Namespace, server: TritonServer, gateway: RunningGateway) -> None:
    """The whole report; the MiB are sums over processes where nothing else is said."""
    progress = Progress()

    def read() -> Memory:
        return memory(server, gateway)

    states = [state_row("started", read())]
    mixed = [body_of(question) for question in mixed_questions(options.mixed_requests)]
    progress.step(f"{options.mixed_requests} mixed requests of 1 to 20 passages, {CONCURRENCY} at a time")
    highest, _ = asyncio.run(highest_during(gateway.url, mixed, options.mixed_requests, CONCURRENCY, read))
    states += [state_row("highest under mixed load", highest), state_row("idle after it", read())]

    progress.step(f"{options.requests} requests, {CONCURRENCY} at a time")
    growth: list[Row] = []
    every = max(1, options.requests // SAMPLES)

    def note(answered: int) -> None:
        if answered % every == 0:
            now = read()
            rest = sum(now.values()) - now["gateway"]
            growth.append({"requests": answered, "server MiB": round(rest, 1), "gateway MiB": round(now["gateway"], 1)})
            progress.detail(f"{answered} answered, server {rest:.0f} MiB, gateway {now['gateway']:.0f} MiB")

    bodies = [body_of(question) for question in small_questions(options.repository)]
    statuses = asyncio.run(ask_all(gateway.url, bodies, options.requests, CONCURRENCY, note))
    states.append(state_row(f"idle after {options.requests} requests more", read()))
    requests = [float(row["requests"]) for row in growth]
    slopes = {
        part: slope_per_1000(requests, [float(row[f"{part} MiB"]) for row in growth]) for part in ("server", "gateway")
    }
    text = [
        f"Memory (PSS, MiB). {model_and_machine(options.repository)}",
        f"{options.requests} requests through the gateway, {CONCURRENCY} at a time; statuses {dict(statuses)}. "
        + ", ".join(f"{part} {slope:+.2f} MiB per 1,000 requests" for part, slope in slopes.items())
        + " over the second half.",
    ]
    if options.burst:
        passages = [f"{number}: {'protein ' * 60}" for number in range(BURST_PASSAGES)]
        burst = [body_of(Question("why?", passages))]
        size = f"{BURST_PASSAGES} passages and {len(burst[0]) / 1024:.0f} KiB each"
        progress.step(f"a burst of {options.burst} requests, {size}")
        highest, statuses = asyncio.run(
            highest_during(gateway.url, burst, options.burst, options.burst, read, BURST_DEADLINE_S)
        )
        states += [state_row("highest in the burst", highest), state_row("idle after it ", read())]
        text.append(
            f"The burst: {options.burst} requests at once, {size}, deadline "
            f"{BURST_DEADLINE_S:g} s; statuses {dict(statuses)}."
        )
    write_csv("memory_states", states)
    write_csv("memory_growth", growth)
    line_plot(
        RESULTS / "memory.svg",
        {part: [(float(row["requests"]), float(row[f"{part} MiB"])) for row in growth] for part in slopes},
        title="Memory over requests",
        x="requests answered",
        y="PSS, MiB",
    )
    write_markdown("memory", "\n\n".join([*text, markdown_table(states)]))


if __name__ == "__main__":
    sys.exit(main())
