"""OpenTelemetry traces, which are off unless the standard variables name an endpoint.

FastAPI provides the request's own span, the exporter and the sampler (fastapi.telemetry). This module adds the spans
inside it and passes the trace on to Triton. A span holds names, counts and durations, never a text or an error message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SERVICE_NAME = "packrank-gateway"

# Prometheus has the metrics, and the log is JSON lines. Probes and scrapes are not worth a trace.
TELEMETRY: TelemetryConfig = {
    "auto_configure": True,
    "metrics": False,
    "logs": False,
    "exclude": lambda scope: scope.get("method") != "POST",
}

_tracer = trace.get_tracer("packrank_gateway")
_w3c = TraceContextTextMapPropagator()


def traces_are_on(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether spans are exported, by the rules of FastAPI and of the specification.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
    """
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    wanted = (environment.get("OTEL_TRACES_EXPORTER") or "otlp").strip().lower() == "otlp"
    return bool(endpoint) and wanted and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"


def name_service() -> None:
    """Name this process in traces, unless the environment names it."""
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", SERVICE_NAME)


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int) -> Iterator[None]:
    """Open a child of the current span, if that span is recorded."""
    if not trace.get_current_span().is_recording():
        yield
        return
    # only the exception's class is recorded: its message may quote the request
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as child:
        try:
            yield
        except BaseException as error:
            child.set_attribute("error.type", type(error).__name__)
            child.set_status(StatusCode.ERROR)
            raise


def describe_request(request_span: trace.Span, facts: Mapping[str, Any]) -> None:
    """Put the facts of a request's log line on its span."""
    if request_span.is_recording():
        request_span.set_attributes({f"packrank.{name}": fact for name, fact in facts.items() if fact is not None})


@contextmanager
def triton_call(endpoint: str, pairs: int, caller: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Open a span around one gRPC call, and yield the headers that make Triton's spans part of the trace.

    `caller` holds the request's own trace headers, which pass unchanged while tracing is off. An unsampled request
    gets no headers, because Triton 24.10 exports every request that has a traceparent.
    """
    current = trace.get_current_span()
    if not current.get_span_context().is_valid:
        yield caller
        return
    method = f"inference.GRPCInferenceService/{'ModelInfer' if pairs else 'ModelConfig'}"
    # https://opentelemetry.io/docs/specs/semconv/rpc/grpc
    attributes: dict[str, str | int] = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "server.address": endpoint,
        "packrank.pairs": pairs,
    }
    headers: dict[str, str] = {}
    with span(method, SpanKind.CLIENT, **attributes):
        if current.is_recording():
            _w3c.inject(headers)
        yield headers
