"""An error in the JSON of each dialect, as its owner's clients expect it, and as one response."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from packrank_gateway.errors import RETRIABLE, RETRY_AFTER_S, Dialect, GatewayError

_TEI_TYPES = {
    "no_passages": "Empty",
    "overloaded": "Overloaded",
    "server_fault": "Backend",
    "unavailable": "Unhealthy",
    "not_ready": "Unhealthy",
}
# The server's sentences name NIM's fields. What they are called elsewhere:
_DOCUMENTS = {"passages[": "documents[", "passages is": "documents is"}
_WORDS = {
    Dialect.NIM: {},
    Dialect.COHERE: _DOCUMENTS,
    Dialect.VLLM: _DOCUMENTS | {"truncate=END": "truncate_prompt_tokens=-1"},
    Dialect.TEI: {"passages[": "texts[", "passages is": "texts is", "truncate=END": "truncate=true"},
}
# The body is not read to its end, so the connection cannot carry another request.
UNREAD = frozenset({"body_too_large", "body_timeout"})
_TOKENIZER_KINDS = frozenset({"pair_too_long", "query_too_long"})


def error_response(error: GatewayError, dialect: Dialect) -> Response:
    """The status of the error table, with Retry-After where trying again helps."""
    headers = {"x-error-kind": error.kind}
    if error.kind in RETRIABLE:
        headers["retry-after"] = str(RETRY_AFTER_S)
    if error.kind in UNREAD:
        headers["connection"] = "close"
    if error.kind == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    content = json.dumps(error_body(error, dialect))
    return Response(content, error.http_status(dialect), headers, media_type="application/json")


def error_body(error: GatewayError, dialect: Dialect) -> dict[str, Any]:
    """Every dialect's own fields, and beside them `kind` and, where one passage is at fault, `passage_index`."""
    sentence = str(error)
    for word, other in _WORDS[dialect].items():
        sentence = sentence.replace(word, other)
    named: dict[str, Any] = {"kind": error.kind}
    if error.passage_index is not None:
        named["passage_index"] = error.passage_index
    if dialect is Dialect.NIM:
        if error.tokens is not None:
            # NVIDIA's words, which its users search for
            words = f"Input length {error.tokens} exceeds maximum allowed token size {error.limit_tokens}"
            sentence = f"{words}: {sentence}"
        # No schema of NVIDIA's for errors is known. Pull request 299 of langchain-ai/langchain-nvidia on GitHub quotes
        # a container's answer: "object": "error", and `message`, which NVIDIA's client reads.
        kind = "invalid_request_error" if error.http_status(dialect) < 500 else "server_error"
        return {"object": "error", "message": sentence, "detail": named, "type": kind}
    if dialect is Dialect.TEI:
        kind = _TEI_TYPES.get(error.kind, "Tokenizer" if error.kind in _TOKENIZER_KINDS else "Validation")
        return {"error": sentence, "error_type": kind, **named}
    if dialect is Dialect.VLLM:
        status = error.http_status(dialect)
        kind = "BadRequestError" if status < 500 else "InternalServerError"
        return {"error": {"message": sentence, "type": kind, "param": None, "code": status, **named}}
    # Cohere's clients read `message`, Jina's `detail`
    return {"message": sentence, "detail": sentence, **named}
