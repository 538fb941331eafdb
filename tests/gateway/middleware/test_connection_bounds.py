"""What a client leaves unfinished costs it the connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn

from packrank_gateway.middleware import connection_bounds as http_protocol
from packrank_gateway.middleware.connection_bounds import MAX_HEADER_BYTES, BoundedProtocol
from tests.support.eventually import eventually

ANSWER = b"x" * 30_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer /large with a large body, and all else with a short one."""
    if scope["type"] == "http":
        body = ANSWER if scope["path"] == "/large" else b"ok"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(http_protocol, "HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 5)
    config = uvicorn.Config(app, port=0, http=BoundedProtocol, lifespan="off", log_level="error", timeout_keep_alive=60)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    eventually(lambda: running.started or None, "the server listens")
    yield running
    running.should_exit = True
    thread.join()


Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(server: uvicorn.Server) -> Iterator[Connect]:
    with ExitStack() as opened:

        def open_one() -> socket.socket:
            address = server.servers[0].sockets[0].getsockname()
            return opened.enter_context(socket.create_connection(address, timeout=60))

        yield open_one


def is_closed(connection: socket.socket) -> bool:
    """Read to the end."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


def test_a_connection_that_asks_nothing_is_closed(connect: Connect) -> None:
    assert is_closed(connect())


def test_headers_without_an_end_are_cut_off(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
    assert is_closed(connection), "in time"
    connection = connect()
    with pytest.raises(ConnectionError):
        for _ in range(1000):
            connection.sendall(b"x-more: " + b"y" * MAX_HEADER_BYTES + b"\r\n")
    assert is_closed(connection), "in size"


def test_a_second_request_without_an_end_is_cut_off(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET / HTTP/1.1\r\nhost:")
    assert is_closed(connection)


def test_who_does_not_read_an_answer_loses_it(server: uvicorn.Server, connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
    eventually(lambda: len(server.server_state.connections) == 0 or None, "the connection is closed")


def test_who_reads_gets_all_of_it(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    received = 0
    while part := connection.recv(1 << 16):
        received += len(part)
    assert received > len(ANSWER)


def test_connections_are_bounded(connect: Connect) -> None:
    kept = [connect() for _ in range(5)]
    for connection in kept:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert is_closed(connect())
    kept[0].sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert kept[0].recv(1000).startswith(b"HTTP/1.1 200")
