"""Request bodies in gzip and deflate (RFC 9110, section 8.4.1), decoded while they arrive.

Each step decodes at most `STEP_BYTES`. So `RequestBody`, which counts the decoded bytes, refuses a small body that
would become a huge one before it takes memory.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packrank_gateway.dialects.error_bodies import error_response
from packrank_gateway.errors import GatewayError
from packrank_gateway.telemetry.request_record import record_of

STEP_BYTES = 1 << 18
# The answer to any other encoding names these in `accept-encoding` (RFC 9110, section 15.5.16).
ENCODINGS = (b"gzip", b"deflate")
_GZIP, _ZLIB, _RAW_DEFLATE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class ContentEncoding:
    """Decodes bodies, so that what comes after it reads plain JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        encoding = _encoding(scope) if scope["type"] == "http" else b""
        if not encoding:
            await self._app(scope, receive, send)
            return
        if encoding not in ENCODINGS:
            record = record_of(scope)
            record.error_kind = "unsupported_content_encoding"
            await error_response(_unsupported(encoding), record.dialect)(scope, receive, send)
            return
        # both describe the encoded body
        headers = [pair for pair in scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}]
        await self._app({**scope, "headers": headers}, _DecodedBody(receive, encoding), send)


class _DecodedBody:
    """An ASGI `receive` that yields the decoded body in steps. Raises GatewayError(malformed_encoding)."""

    def __init__(self, receive: Receive, encoding: bytes) -> None:
        self._receive = receive
        self._decoder = Decoder(encoding)
        self._decoded: Iterator[bytes] = iter(())
        self._more = True

    async def __call__(self) -> Message:
        """Return the next step of the body, or what the server sends after its end."""
        while True:
            part = next(self._decoded, None)
            if part is not None:
                await asyncio.sleep(0)  # a large body must not hold up other requests
                return {"type": "http.request", "body": part, "more_body": True}
            if not self._more and self._decoder is not None:
                return self._end()
            message = await self._receive()
            if message["type"] != "http.request" or self._decoder is None:
                return message
            self._more = message.get("more_body", False)
            self._decoded = self._decoder.decode(message.get("body", b""))

    def _end(self) -> Message:
        complete, self._decoder = self._decoder.complete, None  # type: ignore[assignment]
        if not complete:
            raise _malformed("it ends too early")
        return {"type": "http.request", "body": b"", "more_body": False}


class Decoder:
    """One body of `encoding`, gzip or deflate, fed in parts."""

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._stream: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Tell whether the encoded data has reached its end."""
        return self._stream is not None and self._stream.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in steps. Raises GatewayError(malformed_encoding)."""
        while data:
            if self._stream is None or (self._stream.eof and self._encoding == b"gzip"):
                self._stream = zlib.decompressobj(self._window(data[0]))  # a gzip body may have several members
            if self._stream.eof:
                raise _malformed("it goes on after its end")
            try:
                part = self._stream.decompress(data, STEP_BYTES)
            except zlib.error as error:
                raise _malformed(str(error)) from None
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if part:
                yield part

    def _window(self, first: int) -> int:
        """Choose zlib's format. Some clients send deflate without its zlib header, whose low bits are always 8."""
        if self._encoding == b"gzip":
            return _GZIP
        return _ZLIB if first & 0x0F == zlib.DEFLATED else _RAW_DEFLATE


def _encoding(scope: Scope) -> bytes:
    """Return the one encoding of the body, or nothing if it has none."""
    named = b",".join(value for name, value in scope["headers"] if name == b"content-encoding").lower()
    applied = [part for part in (word.strip() for word in named.split(b",")) if part not in {b"", b"identity"}]
    return b", ".join(applied).removeprefix(b"x-")


def _unsupported(encoding: bytes) -> GatewayError:
    named = encoding.decode("latin-1")[:100]
    sentence = f"the content-encoding is {named}; send gzip, deflate or none."
    return GatewayError("unsupported_content_encoding", sentence)


def _malformed(why: str) -> GatewayError:
    sentence = f"the body is not what its content-encoding says ({why}); encode it again or send it plain."
    return GatewayError("malformed_encoding", sentence)
