"""What a request leaves behind: headers, metrics and a log line, but never its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from packrank_gateway.dialects.dialect import Dialect
from packrank_server.tritonserver import TritonServer
from tests.support.eventually import eventually
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_server import scripted_server

PRIVATE = "the passage that no log may hold"


@pytest.fixture
def fresh(server: TritonServer) -> Iterator[RunningGateway]:
    with running_gateway(server.grpc_endpoint, max_passages=4) as running:
        yield running


def samples(gateway: RunningGateway, requests: int) -> dict[tuple[str, str], float]:
    """Return (name, labels) -> value once `requests` requests are counted, which happens after their answers."""

    def look() -> dict[tuple[str, str], float] | None:
        families = text_string_to_metric_families(gateway.http.get("/metrics").text)
        found = {(s.name, ",".join(s.labels.values())): s.value for family in families for s in family.samples}
        counted = sum(value for (name, _), value in found.items() if name == "packrank_requests_total")
        return found if counted == requests else None

    return eventually(look, f"{requests} requests are counted")


def logged(gateway: RunningGateway, request_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        return next((line for line in list(gateway.lines) if line.get("request_id") == request_id), None)

    return eventually(look, "the line of the request")


def test_a_request_is_one_line_without_its_texts(fresh: RunningGateway) -> None:
    answer = fresh.ask(Dialect.NIM, [PRIVATE, "b"], headers={"x-request-id": "from-the-caller"})
    assert answer.headers["x-request-id"] == "from-the-caller"
    line = logged(fresh, "from-the-caller")
    assert (line["dialect"], line["status"], line["pairs"]) == ("nim", 200, 2)
    assert line["tokens"] == answer.json()["usage"]["total_tokens"]
    assert line["rerank_ms"] <= line["total_ms"]
    for refused in (
        fresh.ask(Dialect.COHERE, [PRIVATE, 1]),
        fresh.ask(Dialect.TEI, [PRIVATE * 500], truncate=False),
        fresh.ask(Dialect.VLLM, [{PRIVATE: PRIVATE}]),
        fresh.ask(Dialect.NIM, [PRIVATE] * 5),
    ):
        assert logged(fresh, refused.headers["x-request-id"])["error_kind"]
    assert PRIVATE not in str(fresh.lines)


@pytest.mark.parametrize("given", ["", "x" * 129, "\u00e9"])
def test_an_id_that_cannot_be_logged_is_replaced(fresh: RunningGateway, given: str) -> None:
    headers = {"x-request-id": given.encode("latin-1")}
    answer = fresh.http.get("/v1/health/live", headers=headers)  # type: ignore[arg-type]
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


STAGES = ["receive", "tokenise", "rank", "rerank", "total"]


def stages_ms(answer: httpx.Response) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
    return {stage: float(milliseconds) for stage, milliseconds in found}


def test_stage_timings_in_headers_and_log(fresh: RunningGateway) -> None:
    answer = fresh.ask(Dialect.TEI)
    stages = stages_ms(answer)
    assert list(stages) == STAGES
    assert stages["receive"] + stages["rerank"] <= stages["total"]
    assert answer.headers["x-tokenization-time"] == str(round(stages["tokenise"]))
    assert answer.headers["x-total-time"] == str(round(stages["total"]))
    line = logged(fresh, answer.headers["x-request-id"])
    assert [line[f"{stage}_ms"] for stage in STAGES[:-1]] == [stages[stage] for stage in STAGES[:-1]]


def test_each_of_merged_requests_has_its_own_times(server: TritonServer) -> None:
    passages = [[" word" * 100 * (1 + number % 5)] * 2 for number in range(24)]
    with running_gateway(server.grpc_endpoint) as gateway, ThreadPoolExecutor(len(passages)) as pool:
        answers = list(pool.map(lambda texts: gateway.ask(Dialect.COHERE, texts), passages))
    times = [stages_ms(answer) for answer in answers]
    assert all(stages["tokenise"] > 0 and stages["rank"] > 0 for stages in times)
    assert all(stages["tokenise"] + stages["rank"] <= stages["rerank"] for stages in times)
    assert len({stages["rank"] for stages in times}) > 1


def test_of_a_split_request_the_longest_part_counts(gateway: RunningGateway) -> None:
    stages = stages_ms(gateway.ask(Dialect.COHERE, [f"{number}" for number in range(600)]))
    assert list(stages) == STAGES
    assert max(stages["tokenise"], stages["rank"]) <= stages["rerank"]


def test_an_ensemble_without_clocks_is_as_good() -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:
        answer = gateway.ask(Dialect.TEI)
    assert list(stages_ms(answer)) == ["receive", "rerank", "total"]
    assert "x-tokenization-time" not in answer.headers


def test_metrics_count_what_happened(fresh: RunningGateway, server: TritonServer) -> None:
    tokens = fresh.ask(Dialect.NIM, ["a", " word" * 3000], truncate="END").json()["usage"]["total_tokens"]
    assert fresh.ask(Dialect.NIM, ["a"] * 5).status_code == 422
    found = samples(fresh, 2)
    assert found["packrank_requests_total", "nim,200"] == found["packrank_requests_total", "nim,422"] == 1
    assert found["packrank_refused_requests_total", "too_many_passages"] == 1
    assert found["packrank_pairs_total", "nim"] == 2
    assert found["packrank_tokens_total", "nim"] == tokens
    assert found["packrank_truncated_passages_total", "nim"] == 1
    for stage in ("tokenise", "rank", "rerank"):
        assert found["packrank_stage_duration_seconds_count", stage] == 1
    assert found["packrank_pending_pairs", ""] == 0
    assert found["packrank_max_pending_pairs", ""] == 20_000
    for step in ("tokenise", "inference", "postprocess"):
        place = f"{server.grpc_endpoint},{step}"
        assert found["packrank_step_compute_seconds_total", place] > 0
        assert found["packrank_step_queue_seconds_total", place] > 0
        assert found["packrank_step_executions_total", place] >= 1
    assert fresh.http.get("/v1/metrics").text.startswith("# HELP")


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ({}, {}),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "a=1"}, {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"traceparent": "00-none", "tracestate": "a=1"}, {}),
        ({"traceparent": PARENT, "tracestate": "\u00e9"}, {"traceparent": PARENT}),
    ],
)
def test_the_callers_trace_goes_on_to_the_server(given: dict[str, str], arrives: dict[str, str]) -> None:
    with scripted_server() as triton, running_gateway(triton.address) as gateway:
        headers = {name: value.encode("latin-1") for name, value in given.items()}
        assert gateway.ask(Dialect.NIM, headers=headers).status_code == 200  # type: ignore[arg-type]
        (seen,) = triton.seen
    assert {name: value for name, value in seen.headers.items() if name.startswith("trace")} == arrives


def test_other_origins_are_let_in_only_by_name(server: TritonServer, fresh: RunningGateway) -> None:
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in fresh.http.options("/v1/ranking", headers=preflight).headers
    with running_gateway(server.grpc_endpoint, cors_origins="https://a.example") as opened:
        allowed = opened.http.options("/v1/ranking", headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        assert "POST" in allowed.headers["access-control-allow-methods"]
        asked = opened.ask(Dialect.NIM, headers={"origin": "https://a.example"})
        assert asked.headers["access-control-allow-origin"] == "https://a.example"
        other = opened.http.options("/v1/ranking", headers=preflight | {"origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


def test_the_page_may_load_and_call_nothing_else(fresh: RunningGateway) -> None:
    page = fresh.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
