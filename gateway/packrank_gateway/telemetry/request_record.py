"""The record of one request: its deadline, its sizes, and the time of each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from packrank_client.deadline import Deadline
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.telemetry.tracing import span

_KEY = "packrank.record"


@dataclass
class RequestRecord:
    """Facts for headers, metrics and the log; never a text of the request.

    `caller` stands for the key of the request, or else for the client's address: callers take turns at the servers.
    `trace_headers` is the caller's W3C trace context, passed on unchanged.
    """

    dialect: Dialect
    request_id: str
    caller: str = ""
    deadline: Deadline | None = None
    trace_headers: dict[str, str] = field(default_factory=dict)
    pairs: int = 0
    tokens: int = 0
    truncated: int = 0
    error_kind: str | None = None
    ignored_fields: tuple[str, ...] = ()
    status: int | None = None
    started_s: float = field(default_factory=time.perf_counter)
    stages_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, even if it fails, and make it a span if the request is traced."""
        started_s = time.perf_counter()
        try:
            with span(name):
                yield
        finally:
            self.stages_s[name] = time.perf_counter() - started_s

    def note_stage(self, name: str, seconds: float) -> None:
        """Record a stage that the server timed. Of the parts of a split request, the longest counts."""
        self.stages_s[name] = max(seconds, self.stages_s.get(name, 0.0))

    def elapsed_s(self) -> float:
        """Return the seconds since the request's headers arrived."""
        return time.perf_counter() - self.started_s


def attach(record: RequestRecord, scope: Any) -> None:
    """Put the record into the request's ASGI scope, where `record_of` finds it."""
    scope[_KEY] = record


def record_of(request: Request | Any) -> RequestRecord:
    """Return the record of a request or of its ASGI scope."""
    record: RequestRecord = request[_KEY]
    return record
