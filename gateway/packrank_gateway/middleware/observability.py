"""What every request gets: an id, timings in headers, metrics, and one line in the log."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packrank_gateway.dialects.dialect import dialect_of_path
from packrank_gateway.dialects.error_bodies import error_response
from packrank_gateway.errors import GatewayError
from packrank_gateway.telemetry.metrics import Metrics
from packrank_gateway.telemetry.request_record import RequestRecord, attach
from packrank_gateway.telemetry.tracing import describe_request

log = logging.getLogger("packrank_gateway.requests")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[ -~]{0,512}")


class Observability:
    """The outermost middleware, so that it also sees what the others refuse."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address, _ = scope.get("client") or ("", 0)
        record = RequestRecord(
            dialect_of_path(scope["path"]), _request_id(scope), caller=address, trace_headers=_trace_headers(scope)
        )
        attach(record, scope)
        request_span = trace.get_current_span()

        async def send_with_facts(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                describe_request(request_span, _facts(record))
                message["headers"] = [*message["headers"], *_fact_headers(record)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_facts)
        except Exception:
            log.exception("unforeseen error", extra={"facts": _facts(record)})
            if record.status is not None:  # the answer has begun, so uvicorn can only close the connection
                raise
            record.error_kind = "internal_error"
            error = GatewayError("internal_error", "the gateway failed; its log says why.")
            await error_response(error, record.dialect)(scope, receive, send_with_facts)
        finally:
            if scope["method"] == "POST":
                self._metrics.count(record)
                log.info("%s %s", scope["method"], scope["path"], extra={"facts": _facts(record)})


def _request_id(scope: Scope) -> str:
    """Return the caller's x-request-id if it is safe in a header and a log, otherwise a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else str(uuid.uuid4())


def _trace_headers(scope: Scope) -> dict[str, str]:
    """Return traceparent and tracestate as far as they are well formed (w3.org/TR/trace-context)."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if not _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        return {}
    state = headers.get("tracestate", "")
    wanted = {"traceparent": headers["traceparent"], "tracestate": state if _TRACESTATE.fullmatch(state) else ""}
    return {name: value for name, value in wanted.items() if value}


def _fact_headers(record: RequestRecord) -> list[tuple[bytes, bytes]]:
    timings = record.stages_s | {"total": record.elapsed_s()}
    headers = {
        "x-request-id": record.request_id,
        "server-timing": ", ".join(f"{stage};dur={seconds * 1e3:.3f}" for stage, seconds in timings.items()),
    }
    if record.tokens:
        # TEI's names, in milliseconds. TEI's x-queue-time and x-inference-time are one stage here, `rank`.
        headers |= {"x-compute-tokens": str(record.tokens), "x-total-time": _milliseconds(timings["total"])}
        if "tokenise" in timings:
            headers["x-tokenization-time"] = _milliseconds(timings["tokenise"])
    if record.truncated:
        headers["x-truncated-passages"] = str(record.truncated)
    if record.ignored_fields:
        headers["x-ignored-fields"] = ", ".join(record.ignored_fields)
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1e3))


def _facts(record: RequestRecord) -> dict[str, Any]:
    return {
        "request_id": record.request_id,
        "dialect": record.dialect.value,
        "status": record.status,
        "error_kind": record.error_kind,
        "pairs": record.pairs,
        "tokens": record.tokens,
        "truncated": record.truncated,
        "total_ms": round(record.elapsed_s() * 1e3, 3),
        **{f"{stage}_ms": round(seconds * 1e3, 3) for stage, seconds in record.stages_s.items()},
    }
