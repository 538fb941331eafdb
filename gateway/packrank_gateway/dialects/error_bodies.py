"""An error as a response: the sentence, the JSON and the headers that each dialect's clients expect."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from packrank_client.refusals import render_sentence
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import RETRIABLE, RETRY_AFTER_S, GatewayError

_TEI_TYPES = {
    "no_passages": "Empty",
    "empty_query": "Empty",
    "invalid_utf8": "Tokenizer",
    "overloaded": "Overloaded",
    "server_fault": "Backend",
    "unavailable": "Unhealthy",
    "not_ready": "Unhealthy",
}
# How each dialect calls the list of passages, and the option that cuts long ones.
_WORDS = {
    Dialect.NIM: {"field": "passages", "remedy": "truncate=END"},
    Dialect.COHERE: {"field": "documents", "remedy": "max_tokens_per_doc"},
    Dialect.VLLM: {"field": "documents", "remedy": "truncate_prompt_tokens=-1"},
    Dialect.TEI: {"field": "texts", "remedy": "truncate=true"},
}
# The rest of the body stays unread, so the connection cannot carry another request.
UNREAD = frozenset({"body_too_large", "body_timeout", "malformed_encoding", "unsupported_content_encoding"})
_TOO_LONG = frozenset({"pair_too_long", "query_too_long"})


def error_response(error: GatewayError, dialect: Dialect) -> Response:
    """Answer with the status of the error table, and Retry-After where a retry helps."""
    headers = {"x-error-kind": error.kind}
    if error.kind in RETRIABLE:
        headers["retry-after"] = str(RETRY_AFTER_S)
    if error.kind in UNREAD:
        headers["connection"] = "close"
    if error.kind == "unsupported_content_encoding":
        headers["accept-encoding"] = "gzip, deflate"
    if error.kind == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    content = json.dumps(error_body(error, dialect))
    return Response(content, error.http_status(dialect), headers, media_type="application/json")


def error_body(error: GatewayError, dialect: Dialect) -> dict[str, Any]:
    """Return the dialect's own fields with `kind` and, where one passage is at fault, `passage_index`."""
    words = {**_WORDS[dialect], "field": error.facts.get("field", _WORDS[dialect]["field"])}
    sentence = render_sentence(error.kind, error.facts, **words) or str(error)
    status = error.http_status(dialect)
    named: dict[str, Any] = {"kind": error.kind}
    if error.passage_index is not None:
        named["passage_index"] = error.passage_index
    if dialect is Dialect.NIM:
        # No schema of NVIDIA's for errors is known. Pull request 299 of langchain-ai/langchain-nvidia on GitHub quotes
        # a container's answer: "object": "error", and `message`, which NVIDIA's client reads.
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"object": "error", "message": _nim_sentence(error, sentence), "detail": named, "type": kind}
    if dialect is Dialect.TEI:
        kind = _TEI_TYPES.get(error.kind, "Validation")
        return {"error": sentence, "error_type": kind, **named}
    if dialect is Dialect.VLLM:
        kind = "BadRequestError" if status < 500 else "InternalServerError"
        return {"error": {"message": sentence, "type": kind, "param": None, "code": status, **named}}
    # Cohere's clients read `message`, Jina's `detail`
    return {"message": sentence, "detail": sentence, **named}


def _nim_sentence(error: GatewayError, sentence: str) -> str:
    """Begin with NVIDIA's own words for a text over the limit: NVIDIA's users search for them."""
    tokens, limit = error.facts.get("tokens"), error.facts.get("limit")
    if error.kind not in _TOO_LONG or tokens is None or limit is None:
        return sentence
    return f"Input length {tokens} exceeds maximum allowed token size {limit}: {sentence}"
