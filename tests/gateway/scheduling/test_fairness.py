"""What reaches a model server, and in which order, when several callers want more than it can take."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from packrank_gateway.dialects.dialect import Dialect
from tests.gateway.scheduling.test_overload import wait_until_pending
from tests.support.eventually import eventually
from tests.support.running_gateway import PATHS, RunningGateway, body_of, running_gateway
from tests.support.scripted_server import ScriptedServer, SeenRequest, scripted_server

# about 40 estimated tokens each with the query and the prompt, so two of them are 80
LARGE = [f"{number:02}" + "x" * 88 for number in range(20)]
RUNNING_TOKENS = 90


@pytest.fixture
def triton() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def gateway(triton: ScriptedServer) -> Iterator[RunningGateway]:
    with running_gateway(triton.address, max_running_tokens=RUNNING_TOKENS) as running:
        assert running.ask(Dialect.NIM).status_code == 200
        triton.seen.clear()
        yield running


def passages_seen(triton: ScriptedServer) -> list[str]:
    return [passage for seen in triton.seen for passage in seen.passages]


def test_a_short_request_passes_a_long_one_that_waits(gateway: RunningGateway, triton: ScriptedServer) -> None:
    gate = threading.Semaphore(0)

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        assert gate.acquire(timeout=60)

    triton.script = script
    other = httpx.Client(base_url=gateway.url, transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=60)
    with ThreadPoolExecutor(2) as pool, other:
        long = pool.submit(gateway.ask, Dialect.NIM, LARGE)
        eventually(lambda: len(triton.seen) == 2 or None, "two chunks at the server")
        short = pool.submit(other.post, PATHS[Dialect.NIM], json=body_of(Dialect.NIM, ["short"]))
        wait_until_pending(gateway, len(LARGE) + 1)
        assert len(triton.seen) == 2, "the rest waits at the gateway"
        gate.release(1)
        eventually(lambda: len(triton.seen) == 3 or None, "one more chunk")
        assert "short" in passages_seen(triton)[-1:]
        gate.release(100)
        assert short.result().status_code == long.result().status_code == 200
    assert sorted(passages_seen(triton)) == sorted([*LARGE, "short"])


def test_abandoned_requests_leave_only_what_the_server_already_has(
    gateway: RunningGateway, triton: ScriptedServer
) -> None:
    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        if seen.passages[0] in LARGE:
            triton.hold(seen, context)

    triton.script = script
    content = json.dumps(body_of(Dialect.NIM, LARGE)).encode()
    head = f"POST /v1/ranking HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    url = httpx.URL(gateway.url)
    connections = [socket.create_connection((url.host, url.port or 80)) for _ in range(5)]
    for connection in connections:
        connection.sendall(f"{head}\r\n\r\n".encode() + content)
    wait_until_pending(gateway, 5 * len(LARGE))
    eventually(lambda: len(triton.seen) == 2 or None, "two chunks at the server")
    for connection in connections:
        connection.close()
    assert gateway.ask(Dialect.NIM, ["short"]).status_code == 200
    assert sum(passage in LARGE for passage in passages_seen(triton)) == 2
    wait_until_pending(gateway, 0)
