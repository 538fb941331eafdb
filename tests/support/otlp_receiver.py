"""An OpenTelemetry collector for tests: an HTTP server that receives the spans of gateway and Triton.

The gateway sends protobuf. Triton sends the same message as JSON, with ids in hexadecimal
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

import gzip
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.eventually import eventually


@dataclass(frozen=True)
class Span:
    """One span. Ids are hexadecimal, and `parent` is empty if there is none."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool


@dataclass
class OtlpReceiver:
    """All spans and bodies so far."""

    url: str
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a process send its spans here without delay."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def wait_for(self, *names: str) -> dict[str, Span]:
        """Wait until each name has a span, and return one for each."""

        def look() -> dict[str, Span] | None:
            found = {span.name: span for span in list(self.spans)}
            return found if set(names) <= found.keys() else None

        return eventually(look, f"spans {names}")


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Run a receiver on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.bodies.append(body)
            if self.headers["content-type"] == "application/json":
                receiver.spans += _spans(json.loads(body), lambda hexadecimal: hexadecimal)
            else:
                message = MessageToDict(ExportTraceServiceRequest.FromString(body))
                receiver.spans += _spans(message, lambda base64: b64decode(base64).hex())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = OtlpReceiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _spans(message: dict[str, Any], identifier: Callable[[str], str]) -> Iterator[Span]:
    for resource in message["resourceSpans"]:
        service = _attributes(resource["resource"])["service.name"]
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield Span(
                    service,
                    span["name"],
                    trace=identifier(span["traceId"]),
                    id=identifier(span["spanId"]),
                    parent=identifier(span.get("parentSpanId", "")),
                    attributes=_attributes(span),
                    failed=span.get("status", {}).get("code") in {2, "STATUS_CODE_ERROR"},
                )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {named["key"]: next(iter(named["value"].values())) for named in holder.get("attributes", [])}
