from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

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


@pytest.mark.parametrize("path", ["/health", "/v1/health/ready", "/v1/health/live", "/metrics"])
def test_head_is_get_without_a_body(path: str) -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:
        got, head = gateway.http.get(path), gateway.http.head(path)
        assert (got.status_code, head.status_code) == (200, 200)
        assert head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]


def test_a_server_that_answers_others_is_ready_without_a_probe() -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:
        triton.script = triton.hold  # a probe would wait behind other clients' work
        assert gateway.http.get("/health").status_code == 503, "nothing is known yet"
        for _ in range(3):
            triton.scored += 1
            assert gateway.http.get("/health").status_code == 200
        assert sum(seen.query == "ready?" for seen in triton.seen) == 1


def test_a_stalled_server_is_not_ready_although_it_is_alive() -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:
        assert gateway.ask(Dialect.NIM).status_code == 200
        triton.script = triton.hold
        eventually(lambda: gateway.http.get("/health").status_code == 503 or None, "503")
        assert gateway.http.get("/v1/health/live").status_code == 200
        triton.script = None
        eventually(lambda: gateway.http.get("/health").status_code == 200 or None, "ready again")


def test_a_server_that_is_gone_is_not_ready() -> None:
    with ExitStack() as life:
        triton = life.enter_context(scripted_server())
        with running_gateway(triton.address) as gateway:
            assert gateway.http.get("/health").status_code == 200
            life.close()
            eventually(lambda: gateway.http.get("/health").status_code == 503 or None, "503")
            assert gateway.http.get("/v1/health/live").status_code == 200
