"""OpenTelemetry: the spans of a request, from the caller's to Triton's, without any text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.telemetry.tracing import traces_are_on
from packrank_server.ports import free_ports
from tests.support.eventually import eventually
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_server import ScriptedServer, refuse_with, scripted_server

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
INFER, CONFIG = "inference.GRPCInferenceService/ModelInfer", "inference.GRPCInferenceService/ModelConfig"
PRIVATE = "a text that no trace may hold"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture
def triton() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def traced(receiver: OtlpReceiver, triton: ScriptedServer) -> Iterator[RunningGateway]:
    with running_gateway(triton.address, environment=receiver.environment, max_passages=1000) as running:
        yield running


def test_every_step_is_a_span_below_the_callers(
    receiver: OtlpReceiver, triton: ScriptedServer, traced: RunningGateway
) -> None:
    answer = traced.ask(Dialect.NIM, [PRIVATE, "b"], PRIVATE, headers=SAMPLED | {"x-request-id": "mine"})
    assert answer.status_code == 200
    found = receiver.wait_for("POST /v1/ranking", "receive", "fastapi.dependencies", "rerank", CONFIG, INFER)
    assert {span.trace for span in found.values()} == {TRACE}
    assert {span.service for span in found.values()} == {"packrank-gateway"}
    assert not any(span.failed for span in found.values())
    request = found["POST /v1/ranking"]
    assert request.parent == CALLER
    assert found["receive"].parent == found["fastapi.dependencies"].parent == request.id
    assert found["rerank"].parent == found["fastapi.endpoint"].id
    assert found[CONFIG].parent == found[INFER].parent == found["rerank"].id
    assert found[INFER].attributes["packrank.pairs"] == "2"
    assert found[INFER].attributes["server.address"] == triton.address
    assert request.attributes["http.response.status_code"] == "200"
    assert request.attributes["packrank.request_id"] == "mine"
    assert request.attributes["packrank.tokens"] == str(answer.json()["usage"]["total_tokens"])
    (seen,) = triton.seen
    assert seen.headers["traceparent"] == f"00-{TRACE}-{found[INFER].id}-01"


def test_each_part_of_a_split_request_is_a_span(
    receiver: OtlpReceiver, triton: ScriptedServer, traced: RunningGateway
) -> None:
    triton.max_passages = 2
    assert traced.ask(Dialect.NIM, list("abcde")).status_code == 200
    rerank = receiver.wait_for("rerank", INFER)["rerank"]
    parts = [span for span in receiver.spans if span.name == INFER]
    assert sorted(span.attributes["packrank.pairs"] for span in parts) == ["1", "2", "2"]
    assert {span.parent for span in parts} == {rerank.id}
    parents = {tuple(seen.headers["traceparent"].split("-")[1:3]) for seen in triton.seen}
    assert parents == {(rerank.trace, span.id) for span in parts}


def test_no_span_holds_a_text(receiver: OtlpReceiver, triton: ScriptedServer, traced: RunningGateway) -> None:
    assert traced.ask(Dialect.NIM, [PRIVATE], PRIVATE).status_code == 200
    assert traced.ask(Dialect.COHERE, [PRIVATE, 1], PRIVATE).status_code == 400
    assert traced.ask(Dialect.VLLM, [{PRIVATE: PRIVATE}]).status_code == 400
    assert traced.ask(Dialect.TEI, [PRIVATE], truncation_direction=PRIVATE).status_code == 422
    triton.script = refuse_with(grpc.StatusCode.INTERNAL, PRIVATE)
    assert traced.ask(Dialect.NIM, [PRIVATE]).status_code == 502
    traced.ask(Dialect.NIM, ["the last one"], headers=SAMPLED)
    eventually(lambda: any(span.trace == TRACE and "POST" in span.name for span in receiver.spans) or None, "the last")
    assert PRIVATE.encode() not in b"".join(receiver.bodies)


def test_what_fails_says_so(receiver: OtlpReceiver, triton: ScriptedServer, traced: RunningGateway) -> None:
    triton.script = refuse_with(grpc.StatusCode.INTERNAL)
    assert traced.ask(Dialect.COHERE).status_code == 502
    found = receiver.wait_for("POST /v2/rerank", "rerank", INFER)
    assert found["POST /v2/rerank"].failed
    assert found["POST /v2/rerank"].attributes["packrank.error_kind"] == "server_fault"
    assert found[INFER].failed
    assert found[INFER].attributes["error.type"] == "InferenceServerException"


def test_what_is_not_sampled_leaves_no_span_anywhere(
    receiver: OtlpReceiver, triton: ScriptedServer, traced: RunningGateway
) -> None:
    assert traced.ask(Dialect.NIM, headers={"traceparent": f"00-{'a' * 32}-{CALLER}-00"}).status_code == 200
    assert "traceparent" not in triton.seen[0].headers
    assert traced.http.get("/v1/health/ready").status_code == traced.http.get("/metrics").status_code == 200
    assert traced.ask(Dialect.NIM, headers=SAMPLED).status_code == 200
    receiver.wait_for("POST /v1/ranking")
    assert {span.trace for span in receiver.spans} == {TRACE}


def test_spans_arrive_before_the_process_ends(triton: ScriptedServer, receiver: OtlpReceiver) -> None:
    late = receiver.environment | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with running_gateway(triton.address, environment=late) as gateway:
        assert gateway.ask(Dialect.NIM).status_code == 200
        gateway.stop()
    assert "POST /v1/ranking" in {span.name for span in receiver.spans}


def test_a_collector_that_is_away_costs_no_request(triton: ScriptedServer) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_ports().http}", "OTEL_BSP_SCHEDULE_DELAY": "1"}
    with running_gateway(triton.address, environment=nowhere) as gateway:
        assert [gateway.ask(Dialect.NIM).status_code for _ in range(20)] == [200] * 20


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_only_the_standard_variables_turn_it_on(environment: dict[str, str], on: bool) -> None:
    """Our rule for Triton agrees with FastAPI's for the gateway: the SDK is loaded exactly if tracing is on."""
    assert traces_are_on(environment) is on
    code = """
import asyncio, sys
from packrank_gateway.app import create_app
from packrank_gateway.settings import Settings
async def start_and_stop():
    told = iter(["startup", "shutdown"])
    async def receive(): return {"type": f"lifespan.{next(told)}"}
    async def send(message): assert message["type"].endswith("complete")
    await create_app(Settings())({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
asyncio.run(start_and_stop())
print("opentelemetry.sdk.trace" in sys.modules, "opentelemetry.exporter.otlp" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{on} {on}\n"
