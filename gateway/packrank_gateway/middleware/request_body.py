"""Reads request bodies within limits of size and time, and cancels the work of clients that disconnect."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packrank_client import RerankError
from packrank_client.deadline import Deadline
from packrank_gateway.dialects.error_bodies import error_response
from packrank_gateway.errors import GatewayError
from packrank_gateway.middleware.json_values import check_value_count
from packrank_gateway.scheduling.admission import Admission
from packrank_gateway.telemetry.request_record import RequestRecord, record_of

TIMEOUT_HEADER = b"x-request-timeout-s"
# nginx's status for a client that disconnected. Only the log and the metrics show it.
CLIENT_GONE = 499


class ClientGone(Exception):
    """The client closed its connection before the end of its request or of the answer."""


class RequestBody:
    """Handles a body until it is parsed.

    Bytes are counted as they arrive. So a body that is too large is refused early, even if it hides its size.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        *,
        max_body_bytes: int,
        body_timeout_s: float,
        timeout_s: float,
        max_timeout_s: float,
    ) -> None:
        self._app = app
        self._admission = admission
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._timeout_s = timeout_s
        self._max_timeout_s = max_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        body = bytearray()
        try:
            headers = dict(scope["headers"])
            self._check_headers(headers)
            record.deadline = self._deadline(headers)
            with record.stage("receive"):
                await self._read(receive, record, body)
            await check_value_count(body)
            await self._answer(scope, receive, send, bytes(body))
        except GatewayError as error:
            record.error_kind = error.kind
            await error_response(error, record.dialect)(scope, receive, send)
        except ClientGone:
            _note_gone(record)
        finally:
            self._admission.free_body_bytes(len(body), record.caller)

    def _check_headers(self, headers: dict[bytes, bytes]) -> None:
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if not (media_type == b"application/json" or media_type.endswith(b"+json")):
            shown = media_type.decode("latin-1") or "missing"
            sentence = f"the content-type is {shown}; send a JSON object with `content-type: application/json`."
            raise GatewayError("unsupported_media_type", sentence)

    def _deadline(self, headers: dict[bytes, bytes]) -> Deadline:
        given = headers.get(TIMEOUT_HEADER)
        if given is None:
            return Deadline(self._timeout_s)
        try:
            timeout_s = float(given)
        except ValueError:
            timeout_s = float("nan")
        if not 0 < timeout_s <= self._max_timeout_s:
            sentence = f"x-request-timeout-s must be a number of seconds above 0 and up to {self._max_timeout_s:g}."
            raise GatewayError("invalid_timeout", sentence)
        return Deadline(timeout_s)

    async def _read(self, receive: Receive, record: RequestRecord, body: bytearray) -> None:
        """Append the bytes that arrive to `body`, and count each of them at once."""
        try:
            async with asyncio.timeout(min(_remaining_s(record), self._body_timeout_s)):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part = message.get("body", b"")
                    if len(body) + len(part) > self._max_body_bytes:
                        raise self._too_large()
                    self._admission.take_body_bytes(len(part), record.caller)
                    body += part
                    more = message.get("more_body", False)
        except (TimeoutError, RerankError):
            sentence = (
                f"the request's body did not arrive before its deadline, or within {self._body_timeout_s:g} s; "
                "send it faster or allow more time."
            )
            raise GatewayError("body_timeout", sentence) from None

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Run the application until it is done or the client disconnects."""
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.create_task(_disconnection(receive))

        async def replay() -> Message:
            return unread.pop() if unread else await asyncio.shield(gone)

        work: asyncio.Task[None] = asyncio.create_task(self._app(scope, replay, send))  # type: ignore[arg-type]
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            await work
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    def _too_large(self) -> GatewayError:
        sentence = f"the body is larger than {self._max_body_bytes} bytes. Split it into several requests."
        return GatewayError("body_too_large", sentence)


async def _disconnection(receive: Receive) -> Message:
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message


def _remaining_s(record: RequestRecord) -> float:
    if record.deadline is None:
        raise AssertionError("a request without a deadline")
    return record.deadline.remaining_s()


def _note_gone(record: RequestRecord) -> None:
    record.status = CLIENT_GONE
    record.error_kind = "client_gone"
