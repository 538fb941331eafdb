"""uvicorn's HTTP protocol with bounds on what a client may leave unfinished: headers, and answers it does not read."""

from __future__ import annotations

import asyncio
from typing import Any

from packrank_gateway.middleware.http_protocol import HttpProtocol

# A request's first line and headers. nginx allows 32 KiB.
MAX_HEADER_BYTES = 65_536
# From the first byte of a request, or from the connection, to the end of its headers.
HEADER_TIMEOUT_S = 20.0
# How long an answer may wait for a client that reads nothing of it.
WRITE_TIMEOUT_S = 60.0
MAX_CONNECTIONS = 10_000

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n"
    b"connection: close\r\n\r\nthe headers are larger than 64 KiB.\n"
)


class BoundedProtocol(HttpProtocol):
    """One connection. A client that passes a bound loses it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_headers = False
        self._in_body = False
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of unfinished headers, except for those that came together with other bytes."""
        unfinished = self._in_headers
        if not self._in_body:
            self._start_header_timer()
        super().data_received(data)
        if unfinished and self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop the clock of the headers."""
        self._stop_header_timer()
        self._in_headers, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request, for which uvicorn's own clock runs until its first byte."""
        super().on_message_complete()
        self._in_body = False

    def pause_writing(self) -> None:
        """Give the client time to read."""
        super().pause_writing()
        self._write_timer = self._write_timer or self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the clock of the answer: the client has read most of it."""
        super().resume_writing()
        self._stop_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop_header_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def _start_header_timer(self) -> None:
        self._header_timer = self._header_timer or self.loop.call_later(HEADER_TIMEOUT_S, self.transport.close)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
