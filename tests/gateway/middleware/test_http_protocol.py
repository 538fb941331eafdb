"""Valid HTTP that few clients send, over a plain socket."""

from __future__ import annotations

import json
import socket
import subprocess
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from packrank_gateway.settings import Settings
from tests.support.running_gateway import RunningGateway, running_gateway

BODY = json.dumps({"query": {"text": "why?"}, "passages": [{"text": "a"}, {"text": "b"}]}).encode()
# what the HttpClient of JDK 11 to 25 sends by default
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"


def head(extra: str, length: int | None = len(BODY), line: str = "POST /v1/ranking HTTP/1.1") -> bytes:
    sized = "" if length is None else f"content-length: {length}\r\n"
    return f"{line}\r\nhost: x\r\ncontent-type: application/json\r\n{sized}{extra}\r\n".encode()


def connect(gateway: RunningGateway) -> socket.socket:
    url = httpx.URL(gateway.url)
    return socket.create_connection((url.host, url.port or 80), timeout=60)


def answer(connection: socket.socket) -> tuple[int, Any]:
    response = HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "sent",
    [
        head(H2C) + BODY,
        head(H2C + "transfer-encoding: chunked\r\n", None) + CHUNKED,
        head("Upgrade: websocket, h2c\r\nConnection: keep-alive, upgrade\r\n") + BODY,
    ],
    ids=["h2c", "h2c, chunked", "several"],
)
@pytest.mark.parametrize("part_bytes", [1 << 20, 7, 64])
def test_an_offer_to_upgrade_is_ignored(gateway: RunningGateway, sent: bytes, part_bytes: int) -> None:
    with connect(gateway) as connection:
        for _ in range(2):  # the connection stays open
            for start in range(0, len(sent), part_bytes):
                connection.sendall(sent[start : start + part_bytes])
            status, body = answer(connection)
            assert status == 200
            assert len(body["rankings"]) == 2


def test_a_request_behind_an_offer_is_answered_too(gateway: RunningGateway) -> None:
    with connect(gateway) as connection:
        connection.sendall(head(H2C) + BODY + head("") + BODY)
        received = b""
        while received.count(b'"rankings"') < 2:
            part = connection.recv(1 << 16)
            assert part, received
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_the_offer_may_ask_to_close(gateway: RunningGateway) -> None:
    with connect(gateway) as connection:
        connection.sendall(head("Connection: close, upgrade\r\nUpgrade: h2c\r\n") + BODY)
        assert answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_a_client_may_wait_for_100_continue(gateway: RunningGateway) -> None:
    with connect(gateway) as connection:
        connection.sendall(head("expect: 100-continue\r\n" + H2C))
        assert connection.recv(1 << 10).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(BODY)
        assert answer(connection)[0] == 200


def test_a_refusal_needs_no_100_continue(gateway: RunningGateway) -> None:
    with connect(gateway) as connection:
        connection.sendall(head("expect: 100-continue\r\n", 1 << 40))
        assert answer(connection)[0] == 413


@pytest.mark.parametrize("line", ["PRI * HTTP/2.0", "CONNECT x:1 HTTP/1.1", "nonsense"])
def test_another_protocol_is_refused_in_http_1(gateway: RunningGateway, line: str) -> None:
    with connect(gateway) as connection:
        connection.sendall(f"{line}\r\n\r\nSM\r\n\r\n".encode())
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 4")
    assert gateway.http.get("/v1/health/live").status_code == 200


def test_curl_gives_up_on_http_2_at_once(gateway: RunningGateway) -> None:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge", gateway.url]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode not in {0, 28}, refused
    offering = [*command[:-2], "--http2", f"{gateway.url}/v1/health/live"]
    negotiated = subprocess.run(offering, capture_output=True, check=True)
    assert json.loads(negotiated.stdout)["status"] == "live"


def test_an_idle_connection_stays_open_as_long_as_the_setting_says() -> None:
    assert Settings().keep_alive_s >= 120, "minutes, more than a proxy in front"
    with running_gateway("127.0.0.1:1", keep_alive_s=1) as gateway, connect(gateway) as connection:
        connection.sendall(b"GET /v1/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer(connection)[0] == 200
        assert connection.recv(1) == b""  # closed by the gateway, with nothing more sent
