"""The error table, row by row: provoke each kind for real, and read it as each dialect's clients do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from packrank_gateway.app import create_app
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import ERRORS, RETRIABLE
from packrank_gateway.settings import Settings
from packrank_server.ports import free_ports
from tests.support.running_gateway import PATHS, RunningGateway, body_of, message_of, running_gateway
from tests.support.scripted_server import ScriptedServer, refuse_with, scripted_server

DIALECTS = (Dialect.NIM, Dialect.COHERE, Dialect.VLLM, Dialect.TEI)
# kind -> status in each of DIALECTS
STATUSES = {
    "invalid_batch": (400, 400, 400, 400),
    "invalid_utf8": (400, 400, 400, 400),
    "empty_query": (422, 400, 400, 400),
    "no_passages": (422, 400, 400, 400),
    "too_many_passages": (422, 400, 400, 413),
    "too_many_tokens": (422, 400, 400, 413),
    "query_too_long": (422, 400, 400, 413),
    "pair_too_long": (422, 400, 400, 413),
    "invalid_truncate": (422, 400, 400, 422),
    "invalid_max_passage_tokens": (422, 400, 400, 422),
    "invalid_max_tokens": (422, 400, 400, 422),
    "malformed_json": (400, 400, 400, 400),
    "invalid_field": (422, 400, 400, 422),
    "invalid_timeout": (400, 400, 400, 400),
    "invalid_argument": (400, 400, 400, 400),
    "unsupported_media_type": (415, 415, 415, 415),
    "unsupported_content_encoding": (415, 415, 415, 415),
    "malformed_encoding": (400, 400, 400, 400),
    "unauthorized": (401, 401, 401, 401),
    "not_found": (404, 404, 404, 404),
    "unknown_model": (404, 404, 404, 404),
    "method_not_allowed": (405, 405, 405, 405),
    "body_timeout": (408, 408, 408, 408),
    "body_too_large": (413, 413, 413, 413),
    "overloaded": (503, 429, 429, 429),
    "internal_error": (500, 500, 500, 500),
    "server_fault": (502, 502, 502, 424),
    "unavailable": (503, 503, 503, 503),
    "not_ready": (503, 503, 503, 503),
    "deadline_exceeded": (504, 504, 504, 504),
}
SENT_BY_TRITON = [kind for kind, row in ERRORS.items() if row.grpc_code]


def check(kind: str, dialect: Dialect, response: httpx.Response) -> str:
    """Check status, kind and Retry-After against the table, and return the sentence."""
    assert response.status_code == STATUSES[kind][DIALECTS.index(dialect)]
    assert response.headers["x-error-kind"] == kind
    assert response.headers["content-type"] == "application/json"
    assert ("retry-after" in response.headers) == (kind in RETRIABLE)
    sentence = message_of(dialect, response)
    assert sentence
    return sentence


def test_every_kind_has_its_statuses() -> None:
    assert set(STATUSES) == set(ERRORS)


@pytest.fixture(scope="module")
def triton() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def strict(triton: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Run a gateway with keys and small limits."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("# ours\n\nsesame\n")
    settings = {"api_keys_file": keys, "strict_model_names": "true", "max_body_bytes": 100_000}
    with running_gateway(triton.address, **settings) as running:
        running.http.headers["authorization"] = "Bearer sesame"
        yield running


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", SENT_BY_TRITON)
def test_what_triton_answers(kind: str, dialect: Dialect, strict: RunningGateway, triton: ScriptedServer) -> None:
    code = getattr(grpc.StatusCode, ERRORS[kind].grpc_code or "")
    refusal = code is grpc.StatusCode.INVALID_ARGUMENT
    named = f"{kind} {{}}: passages[0] has a flaw; fix it" if refusal else "secret:8001"
    triton.script = refuse_with(code, "unexpected shape" if kind == "invalid_argument" else f"in ensemble, {named}")
    try:
        sentence = check(kind, dialect, strict.ask(dialect, ["one passage"]))
    finally:
        triton.script = None
    assert "secret" not in sentence
    assert triton.address not in sentence or kind == "invalid_argument"


def malformed(gateway: RunningGateway, dialect: Dialect) -> httpx.Response:
    return gateway.http.post(PATHS[dialect], content=b'{"query": ', headers={"content-type": "application/json"})


def encoded(encoding: str) -> Callable[[RunningGateway, Dialect], httpx.Response]:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return lambda gateway, dialect: gateway.http.post(PATHS[dialect], content=b"{}", headers=headers)


def surrogate(gateway: RunningGateway, dialect: Dialect) -> httpx.Response:
    text = '"PLACE"', '"\\ud800"'
    body = httpx.Request("POST", "http://x", json=body_of(dialect, ["PLACE"])).content.decode().replace(*text)
    return gateway.http.post(PATHS[dialect], content=body, headers={"content-type": "application/json"})


def half_a_body(gateway: RunningGateway, dialect: Dialect) -> httpx.Response:
    url = httpx.URL(gateway.url)
    head = (
        f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        "authorization: Bearer sesame\r\nx-request-timeout-s: 0.1\r\ncontent-length: 100\r\n\r\n{"
    )
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read().decode()  # until the gateway closes the connection
    status_line, _, rest = answer.partition("\r\n")
    headers, _, content = rest.partition("\r\n\r\n")
    pairs = [tuple(line.split(": ", 1)) for line in headers.split("\r\n")]
    return httpx.Response(int(status_line.split()[1]), headers=pairs, content=content.encode())  # type: ignore[arg-type]


# kind -> how to provoke it, and words of its sentence; on /rerank, TEI's form answers if the body is unknown
PROVOKED: dict[str, tuple[Any, str]] = {
    "malformed_json": (malformed, "send a JSON object"),
    "invalid_utf8": (surrogate, "[0]"),
    "invalid_field": (lambda gateway, dialect: gateway.ask(dialect, query={"no": 1}), "query"),
    "no_passages": (lambda gateway, dialect: gateway.ask(dialect, []), "is empty; send at least one"),
    "empty_query": (lambda gateway, dialect: gateway.ask(dialect, query=" "), "query is empty"),
    "too_many_passages": (lambda gateway, dialect: gateway.ask(dialect, ["a"] * 1001), "has 1001 passages; the limit"),
    "invalid_timeout": (
        lambda gateway, dialect: gateway.ask(dialect, headers={"x-request-timeout-s": "soon"}),
        "above 0 and up to 300",
    ),
    "unsupported_media_type": (
        lambda gateway, dialect: gateway.http.post(PATHS[dialect], data={"query": "q"}),
        "content-type: application/json",
    ),
    "unsupported_content_encoding": (encoded("br"), "send gzip, deflate or none"),
    "malformed_encoding": (encoded("gzip"), "encode it again"),
    "unauthorized": (
        lambda gateway, dialect: gateway.ask(dialect, headers={"authorization": "Bearer guess"}),
        "Authorization: Bearer",
    ),
    "unknown_model": (lambda gateway, dialect: gateway.ask(dialect, model="other"), "is not served here; send one of"),
    "method_not_allowed": (lambda gateway, dialect: gateway.http.put(PATHS[dialect]), "GET /docs"),
    "body_timeout": (half_a_body, "before its deadline"),
    "body_too_large": (lambda gateway, dialect: gateway.ask(dialect, ["x" * 100_000]), "larger than 100000 bytes"),
}
# TEI's form has no field for the model's name
NOWHERE = {("unknown_model", Dialect.TEI)}
# found before the body is read, so /rerank does not know its dialect yet
WITHOUT_FORM = {
    *("malformed_json", "invalid_timeout", "unsupported_media_type", "unauthorized", "method_not_allowed"),
    *("body_timeout", "body_too_large", "unsupported_content_encoding", "malformed_encoding"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", PROVOKED)
def test_what_the_gateway_answers(kind: str, dialect: Dialect, strict: RunningGateway) -> None:
    if (kind, dialect) in NOWHERE:
        return
    provoke, says = PROVOKED[kind]
    answered_by = Dialect.TEI if dialect is Dialect.VLLM and kind in WITHOUT_FORM else dialect
    assert says in check(kind, answered_by, provoke(strict, dialect))
    assert strict.ask(dialect).status_code == 200, "and harms nobody else"


@pytest.mark.parametrize(("path", "dialect"), [("/v1/nothing", Dialect.NIM), ("/v2", Dialect.NIM)])
def test_not_found(path: str, dialect: Dialect, strict: RunningGateway) -> None:
    check("not_found", dialect, strict.http.get(path))


@pytest.mark.parametrize(("path", "dialect"), [("/v1/health/ready", Dialect.NIM), ("/health", Dialect.TEI)])
def test_without_a_server_it_is_not_ready_and_says_so(path: str, dialect: Dialect) -> None:
    with running_gateway(f"127.0.0.1:{free_ports().grpc}") as alone:
        check("not_ready", dialect, alone.http.get(path))
        for every in DIALECTS:
            check("unavailable", every, alone.ask(every))
        assert alone.http.get("/v1/health/live").status_code == 200


def test_a_body_of_unknown_size_is_refused_before_it_is_read_whole(strict: RunningGateway) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10**9:
            yield b" " * 50_000
            sent += 50_000

    try:
        answer = strict.http.post("/v1/ranking", content=parts(), headers={"content-type": "application/json"})
        check("body_too_large", Dialect.NIM, answer)
    except httpx.TransportError:  # the connection may close before the client reads the answer
        pass
    assert sent < 10**9


async def an_internal_error(dialect: Dialect) -> httpx.Response:
    app = create_app(Settings())
    app.state.services.reranker = None
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.post(PATHS[dialect], json=body_of(dialect, ["a"]))


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_mistake_of_ours_is_an_internal_error(dialect: Dialect) -> None:
    sentence = check("internal_error", dialect, await an_internal_error(dialect))
    assert sentence == "the gateway failed; its log says why."


def test_every_row_is_provoked() -> None:
    elsewhere = {"not_found", "not_ready", "internal_error"}
    assert set(SENT_BY_TRITON) | set(PROVOKED) | elsewhere == set(ERRORS)
