"""Ask the server as its clients do: over gRPC with the product's client, or over HTTP through the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from packrank_backend.text.question import Question
from packrank_client import AsyncRerankClient, DeadlineExceeded, RerankError

ANSWERED = "answered"
OVER_DEADLINE = "over deadline"
_OUTCOMES = {200: ANSWERED, 429: "refused (429)", 504: OVER_DEADLINE}

Ask = Callable[[Question], Awaitable[str]]
"""Send one question, wait for the answer, and return the outcome: ANSWERED or a kind of failure."""


@asynccontextmanager
async def over_grpc(endpoint: str, deadline_s: float) -> AsyncIterator[Ask]:
    """Ask Triton directly."""
    async with AsyncRerankClient(endpoint, timeout_s=deadline_s) as client:

        async def ask(question: Question) -> str:
            try:
                await client.rerank(question.query, question.passages, truncate="END")
            except DeadlineExceeded:
                return OVER_DEADLINE
            except RerankError as error:
                return type(error).__name__
            return ANSWERED

        yield ask


@asynccontextmanager
async def through_gateway(url: str, deadline_s: float) -> AsyncIterator[Ask]:
    """Ask the gateway in Cohere's dialect."""
    connections = HttpConnections(url, "/v2/rerank", {"x-request-timeout-s": f"{deadline_s:g}"})

    async def ask(question: Question) -> str:
        status, _ = await connections.post(
            json.dumps({"query": question.query, "documents": list(question.passages)}).encode()
        )
        return _OUTCOMES.get(status, f"status {status}")

    try:
        yield ask
    finally:
        connections.close()


class HttpConnections:
    """Persistent HTTP/1.1 connections on bare sockets: an HTTP library would take a share of the machine."""

    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        self._address = urlsplit(url)
        lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json"]
        self._head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())])
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body on an idle or new connection; return the answer's status and body."""
        streams = self._idle.pop() if self._idle else None
        reader, writer = streams or await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(f"{self._head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        answer = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split()[1]), answer

    def close(self) -> None:
        """Close idle connections."""
        for _, writer in self._idle:
            writer.close()
