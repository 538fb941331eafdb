"""Everything a request can fail with: one table, kind -> HTTP status for each dialect and gRPC code.

The kinds that the server refuses come from its own table, `packrank_backend.errors`; the others are the gateway's.
`dialects.error_bodies` turns an error into a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from packrank_backend.errors import REFUSALS
from packrank_client import (
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    ServerOverloaded,
    ServerUnavailable,
)
from packrank_client.refusals import KINDS
from packrank_gateway.dialects.dialect import Dialect


class Row(NamedTuple):
    """How a kind is answered.

    `grpc_code` names the status in which Triton reports it, or None if it never reaches Triton. `others` holds the
    HTTP status of the dialects whose owner documents another one.
    """

    http_status: int
    grpc_code: str | None = None
    others: Mapping[Dialect, int] = MappingProxyType({})


# Cohere (docs.cohere.com/reference/errors) and vLLM answer 400 to every invalid value. TEI answers 400 to empty inputs
# and 413 to inputs over a limit (text-embeddings-inference, router/src/http/server.rs, `impl From<&ErrorType>`).
_INVALID = {Dialect.COHERE: 400, Dialect.VLLM: 400}

ERRORS: dict[str, Row] = {
    kind.value: Row(refusal.http_status, refusal.grpc_code, _INVALID if refusal.http_status == 422 else {})
    for kind, refusal in REFUSALS.items()
    if kind.value in KINDS  # the others come from models that the gateway does not call
}
for _empty in ("no_passages", "empty_query"):
    ERRORS[_empty] = Row(422, "INVALID_ARGUMENT", _INVALID | {Dialect.TEI: 400})
for _over in ("too_many_passages", "too_many_tokens", "query_too_long", "pair_too_long"):
    ERRORS[_over] = Row(422, "INVALID_ARGUMENT", _INVALID | {Dialect.TEI: 413})
ERRORS |= {
    "malformed_json": Row(400),
    "invalid_field": Row(422, None, _INVALID),
    "invalid_timeout": Row(400),
    "invalid_argument": Row(400, "INVALID_ARGUMENT"),
    "unsupported_media_type": Row(415),
    "unsupported_content_encoding": Row(415),
    "malformed_encoding": Row(400),
    "unauthorized": Row(401),
    "not_found": Row(404),
    "unknown_model": Row(404),
    "method_not_allowed": Row(405),
    "body_timeout": Row(408),
    "body_too_large": Row(413),
    # NIM's own answer to a full queue is 503.
    "overloaded": Row(429, "RESOURCE_EXHAUSTED", {Dialect.NIM: 503}),
    "internal_error": Row(500),
    # TEI calls a failing model a failed dependency.
    "server_fault": Row(502, "INTERNAL", {Dialect.TEI: 424}),
    "unavailable": Row(503, "UNAVAILABLE"),
    "not_ready": Row(503),
    "deadline_exceeded": Row(504, "DEADLINE_EXCEEDED"),
}

RETRY_AFTER_S = 1
# The same request may succeed a little later.
RETRIABLE = frozenset({"overloaded", "unavailable", "not_ready"})


class GatewayError(Exception):
    """A request without scores; `str()` is the sentence for the caller.

    `facts` are the numbers behind it, as in `packrank_client.InvalidRequest`.
    """

    def __init__(self, kind: str, sentence: str, *, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.facts = dict(facts or {})

    @property
    def passage_index(self) -> int | None:
        """The index of the passage at fault; None if no single passage is."""
        index: int | None = self.facts.get("passage")
        return index

    def http_status(self, dialect: Dialect) -> int:
        """Look up the status in the table."""
        row = ERRORS[self.kind]
        return row.others.get(dialect, row.http_status)


def error_from_client(error: RerankError) -> GatewayError:
    """Translate an error of the rerank call, without the model servers' addresses and messages."""
    if isinstance(error, InvalidRequest):
        kind = error.kind if error.kind in ERRORS else "invalid_argument"
        return GatewayError(kind, str(error), facts=error.facts)
    if isinstance(error, DeadlineExceeded):
        return GatewayError(
            "deadline_exceeded",
            "no complete answer before the deadline; send fewer passages or a longer x-request-timeout-s.",
        )
    if isinstance(error, ServerOverloaded):
        return GatewayError("overloaded", "the model server has more work than it accepts; try again later.")
    if isinstance(error, ServerUnavailable):
        return GatewayError("unavailable", "no model server can be reached; try again later.")
    return GatewayError("server_fault", "the model server failed; its log and the gateway's say why.")
