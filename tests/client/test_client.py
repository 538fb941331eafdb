"""What only the threaded client can do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from packrank_client import RerankClient, ServerUnavailable
from packrank_client._triton.tensors import request_inputs
from packrank_client.question import question_from_arguments
from tests.support.scripted_server import ScriptedServer, SeenRequest, logit_of


@pytest.fixture
def busy_threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that switch as often as possible."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(16) as pool:
        yield pool
    sys.setswitchinterval(interval_s)


def test_threads_share_a_client(server: ScriptedServer, busy_threads: ThreadPoolExecutor) -> None:
    with RerankClient(server.address, max_passages=1, max_request_tokens=99) as client:

        def ask(number: int) -> bool:
            passages = [f"{number}", f"{number} again", f"{number} and again"]
            results = client.rerank(f"query {number}", passages)
            return all(r.logit == logit_of(f"query {number}", passages[r.index]) for r in results)

        assert all(busy_threads.map(ask, range(200)))


def test_a_thread_cancels_no_call_but_its_own(server: ScriptedServer, busy_threads: ThreadPoolExecutor) -> None:
    server.script = server.hold
    inputs = request_inputs(question_from_arguments("q", ["a"]), (0,))
    ended: SimpleQueue[int] = SimpleQueue()
    with RerankClient(server.address) as client:
        connection = client._connection(0)

        def start(number: int) -> Any:
            arguments = {"model_name": "reranker", "inputs": inputs, "client_timeout": 60}
            return connection.start(lambda result, error: ended.put(number), **arguments).result()

        calls = list(busy_threads.map(start, range(300)))
        for call in calls:
            call.cancel()
        assert {ended.get(timeout=30) for _ in calls} == set(range(300))


def test_closing_ends_the_calls_of_other_threads(server: ScriptedServer) -> None:
    under_way = threading.Event()

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        under_way.set()
        server.hold(seen, context)

    server.script = script
    client = RerankClient(server.address, timeout_s=60)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.rerank, "q", ["a"])
        assert under_way.wait(30)
        client.close()
        with pytest.raises(ServerUnavailable):
            answer.result()
    assert server.cancelled.acquire(timeout=30)
