"""Overload, deadlines and clients that disconnect: every place becomes free again."""

from __future__ import annotations

import asyncio
import collections
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

import httpx
import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
from packrank_server.tritonserver import TritonServer
from tests.support.eventually import eventually
from tests.support.running_gateway import PATHS, RunningGateway, body_of, running_gateway
from tests.support.scripted_server import ScriptedServer, scripted_server

DIALECTS = (Dialect.NIM, Dialect.COHERE, Dialect.VLLM, Dialect.TEI)
MAX_PENDING_PAIRS = 8


@pytest.fixture
def triton() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def small(triton: ScriptedServer) -> Iterator[RunningGateway]:
    settings = {"max_pending_pairs": MAX_PENDING_PAIRS, "max_passages": 8, "max_documents": 8}
    with running_gateway(triton.address, **settings, max_pending_tokens=500) as running:
        yield running


def pending(gateway: RunningGateway, what: str = "pairs") -> int:
    lines = gateway.http.get("/metrics").text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(f"packrank_pending_{what} "))


def wait_until_pending(gateway: RunningGateway, count: int, what: str = "pairs") -> None:
    eventually(lambda: pending(gateway, what) == count or None, f"{count} {what} pending")


def hold(gateway: RunningGateway, passages: int, text: str = "a") -> socket.socket:
    """Open a connection with a request of `passages` passages, which the server holds."""
    url = httpx.URL(gateway.url)
    content = json.dumps(body_of(Dialect.NIM, [text, *(f"{text}{place}" for place in range(1, passages))])).encode()
    head = (
        "POST /v1/ranking HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-request-timeout-s: 300\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    connection = socket.create_connection((url.host, url.port or 80))
    connection.sendall(head.encode() + content)
    wait_until_pending(gateway, passages)
    return connection


def test_a_client_that_goes_away_frees_its_place(small: RunningGateway, triton: ScriptedServer) -> None:
    triton.script = triton.hold
    with hold(small, 6):
        for dialect in DIALECTS:
            refused = small.ask(dialect, ["a", "b", "c"])
            assert refused.status_code == (503 if dialect is Dialect.NIM else 429)
            assert refused.headers["retry-after"] == "1"
        assert pending(small) == 6, "a refused request leaves no trace"
        assert not triton.cancelled.acquire(blocking=False)
    assert triton.cancelled.acquire(timeout=30), "the work is cancelled downstream"
    wait_until_pending(small, 0)
    triton.script = None
    assert small.ask(Dialect.NIM, list("abcdefgh")).status_code == 200
    gone = [line for line in small.lines if line.get("error_kind") == "client_gone"]
    assert [line["status"] for line in gone] == [499]


def test_tokens_count_as_well(small: RunningGateway, triton: ScriptedServer) -> None:
    triton.script = triton.hold
    with hold(small, 1):
        assert small.ask(Dialect.TEI, ["x" * 1440]).status_code == 429
    alone = small.ask(Dialect.TEI, ["x" * 3000])
    assert (alone.status_code, alone.headers["x-error-kind"]) == (413, "too_many_tokens")
    assert "the limit is 500" in alone.json()["error"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_deadline_ends_the_work_downstream(dialect: Dialect, small: RunningGateway, triton: ScriptedServer) -> None:
    assert small.ask(dialect).status_code == 200  # now the gateway has its connection to the server
    triton.script = triton.hold
    answer = small.ask(dialect, ["a", "b", "c"], headers={"x-request-timeout-s": "2"})
    assert answer.status_code == 504
    assert triton.cancelled.acquire(timeout=30)
    wait_until_pending(small, 0)


def test_the_default_deadline(triton: ScriptedServer) -> None:
    triton.script = triton.hold
    with running_gateway(triton.address, timeout_s=3) as hasty:
        assert hasty.ask(Dialect.NIM).status_code == 504
    assert 0 < triton.seen[0].remaining_s <= 3


def test_bodies_have_a_budget_together(triton: ScriptedServer) -> None:
    triton.script = triton.hold
    settings = {"max_body_bytes": 6_000, "max_pending_body_bytes": 10_000}
    with running_gateway(triton.address, **settings) as small:
        with hold(small, 1, "x" * 5_500):
            assert small.ask(Dialect.COHERE, ["x" * 5_500]).status_code == 429
        wait_until_pending(small, 0, "body_bytes")


def test_two_servers_take_turns_and_a_dead_one_comes_back() -> None:
    with ExitStack() as first_life, scripted_server() as steady:
        mortal = first_life.enter_context(scripted_server())
        with running_gateway(steady.address, mortal.address) as gateway:
            for _ in range(20):
                assert gateway.ask(Dialect.NIM).status_code == 200
            assert len(steady.seen) == len(mortal.seen) == 10
            first_life.close()
            for _ in range(20):
                assert gateway.ask(Dialect.COHERE).status_code == 200
            with scripted_server(port=int(mortal.address.rpartition(":")[2])) as again:

                def was_asked() -> bool | None:
                    assert gateway.ask(Dialect.TEI).status_code == 200
                    return bool(again.seen) or None

                eventually(was_asked, "the second server is asked again")


@pytest.fixture
def many_connections() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def post(url: httpx.URL, path: str, content: bytes) -> tuple[int, bytes]:
    """Send one request over a new socket; 1,000 of these take little memory."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-request-timeout-s: 240\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        return int(answer.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("many_connections")
def test_a_burst_is_answered_or_refused_to_the_last(server: TritonServer, client: RerankClient) -> None:
    requests, passages = 1000, [f"number {number}" for number in range(100)]
    expected = client.rerank("why?", passages)
    content = json.dumps(body_of(Dialect.COHERE, passages)).encode()
    with running_gateway(server.grpc_endpoint) as gateway:

        async def burst() -> list[tuple[int, bytes]]:
            url = httpx.URL(gateway.url)
            return await asyncio.gather(*(post(url, PATHS[Dialect.COHERE], content) for _ in range(requests)))

        answers = asyncio.run(burst())
        counts = collections.Counter(status for status, _ in answers)
        assert counts.keys() == {200, 429}
        assert counts.total() == requests
        for status, body in answers:
            if status == 200:
                ranked = json.loads(body)["results"]
                assert len(ranked) == len(passages)
                assert ranked[0]["relevance_score"] == pytest.approx(expected[0].score, abs=1e-5)
        for what in ("pairs", "tokens", "body_bytes"):
            wait_until_pending(gateway, 0, what)
        assert gateway.http.get("/v1/health/ready").status_code == 200


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("many_connections")
def test_bodies_beyond_their_budget_are_not_kept(triton: ScriptedServer) -> None:
    triton.script = triton.hold
    size, requests, budget_mib = 1 << 20, 300, 16
    content = json.dumps(body_of(Dialect.COHERE, ["x" * size])).encode()
    settings = {"max_pending_body_bytes": budget_mib << 20, "max_body_bytes": 2 * size, "max_pending_tokens": 10**9}
    with running_gateway(triton.address, **settings) as gateway:
        before_mib = gateway.memory_mib("VmRSS")

        async def send_all() -> list[int]:
            """Return the statuses of all requests except those that are held."""
            url = httpx.URL(gateway.url)
            answers = [post(url, PATHS[Dialect.COHERE], content) for _ in range(requests)]
            sent = [asyncio.create_task(answer) for answer in answers]
            kept = budget_mib * (1 << 20) // len(content)
            refused = islice(asyncio.as_completed(sent), requests - kept)
            answered = [(await answer)[0] for answer in refused]
            for task in sent:
                task.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            return answered

        assert set(asyncio.run(send_all())) == {429}
        # memory holds a body several times, as bytes, text and message, but not all bodies at once
        assert gateway.memory_mib("VmHWM") - before_mib < requests
