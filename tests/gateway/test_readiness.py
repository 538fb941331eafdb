from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from packrank_gateway.dialects.dialect import Dialect
from tests.support.eventually import eventually
from tests.support.running_gateway import running_gateway
from tests.support.scripted_server import SeenRequest, refuse_with, scripted_server


def test_callers_that_come_together_share_one_question() -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway, ThreadPoolExecutor(8) as pool:
        asked, released = threading.Event(), threading.Event()

        def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
            asked.set()
            assert released.wait(30)

        triton.script = script
        answers = [pool.submit(gateway.http.get, "/v1/health/ready") for _ in range(8)]
        assert asked.wait(30)
        released.set()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert len(triton.seen) == 1


def test_a_request_that_succeeded_saves_the_question() -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:

        def one_question_was_enough() -> bool | None:
            """None if a busy machine let the first answer expire before the second request."""
            triton.seen.clear()
            assert gateway.ask(Dialect.NIM).status_code == 200
            assert gateway.http.get("/health").status_code == 200
            return len(triton.seen) == 1 or None

        eventually(one_question_was_enough, "a question is saved", attempts=20)


@pytest.mark.parametrize("path", ["/health", "/v1/health/ready"])
def test_a_server_that_is_there_but_fails_is_not_ready(path: str) -> None:
    with scripted_server(script=refuse_with(grpc.StatusCode.INTERNAL)) as triton:
        with running_gateway(triton.address) as gateway:
            assert gateway.http.get(path).status_code == 503
            assert triton.seen
