"""The dialects, and which one a path speaks."""

from __future__ import annotations

from enum import Enum


class Dialect(Enum):
    """Whose wire format a request speaks."""

    NIM = "nim"
    COHERE = "cohere"
    VLLM = "vllm"
    TEI = "tei"


_COHERE = frozenset({"/v1/rerank", "/v2/rerank", "/v1/reranking", "/reranking"})
_VLLM = frozenset({"/score", "/v1/score", "/infinity/rerank", "/infinity/health", "/infinity/models"})
_TEI = frozenset({"/", "/rerank", "/predict", "/invocations", "/ping", "/info", "/health", "/metrics"})


def dialect_of_path(path: str) -> Dialect:
    """Guess the dialect before the body is read, because errors need one; NIM's is the default.

    /rerank counts as TEI's until its body turns out to be another's (`shared_paths`). Weaviate reads errors like TEI's.
    """
    if path in _COHERE:
        return Dialect.COHERE
    if path in _VLLM:
        return Dialect.VLLM
    return Dialect.TEI if path in _TEI or path.startswith("/weaviate/") else Dialect.NIM
