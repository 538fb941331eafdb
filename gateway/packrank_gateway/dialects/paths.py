"""Which dialect a path speaks, known before the body is: errors need it."""

from __future__ import annotations

from packrank_gateway.errors import Dialect

_COHERE = frozenset({"/v1/rerank", "/v2/rerank"})
_VLLM = frozenset({"/infinity/rerank"})
_TEI = frozenset({"/rerank", "/info", "/health", "/metrics"})


def dialect_of_path(path: str) -> Dialect:
    """NIM's for everything that is nobody else's. On /rerank it is TEI's until the body shows vLLM's form."""
    if path in _COHERE:
        return Dialect.COHERE
    if path in _VLLM:
        return Dialect.VLLM
    return Dialect.TEI if path in _TEI else Dialect.NIM
