"""The `documents` form of /rerank: vLLM's, and infinity's as far as it is the same (see `infinity`).

Contract: vllm/entrypoints/pooling/scoring/protocol.py. A document comes back as an object, and an over-long one is
refused unless `truncate_prompt_tokens` is -1.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.answers import json_response
from packrank_gateway.dialects.documents import Documents, document_texts, returned_document
from packrank_gateway.errors import Dialect
from packrank_gateway.gateway import gateway_of
from packrank_gateway.telemetry.record import record_of


class VllmRequest(BaseModel):
    """One query and its documents."""

    model: str | None = None
    query: str
    documents: Documents
    top_n: Annotated[int | None, Field(ge=0, description="only the best; 0 or left out: all")] = None
    return_documents: Annotated[bool, Field(description="put each document into its result")] = True
    raw_scores: Annotated[bool, Field(description="infinity's: logits in place of their sigmoid")] = False
    truncate_prompt_tokens: Annotated[
        Literal[-1] | None, Field(description="-1: cut the tail of a document over the model's limit")
    ] = None


class VllmResult(BaseModel):
    """One document, by its place in the request."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None
    truncated: Annotated[bool | None, Field(description="extension: there, and true, only where the tail was cut")] = (
        None
    )


class VllmUsage(BaseModel):
    """Tokens of all pairs, after truncation."""

    prompt_tokens: int
    total_tokens: int


class VllmResults(BaseModel):
    """Highest score first."""

    id: str
    object: Literal["rerank"] = "rerank"
    model: str
    usage: VllmUsage
    results: list[VllmResult]


async def rerank_documents(request: Request, body: VllmRequest) -> Response:
    """Score documents against a query."""
    gateway = gateway_of(request)
    model = gateway.models.choose(body.model, Dialect.VLLM)
    ranked = await gateway.reranker.rerank(
        body.query,
        document_texts(body.documents),
        record_of(request),
        max_passages=gateway.settings.max_documents,
        top_n=body.top_n or None,
        truncate="NONE" if body.truncate_prompt_tokens is None else "END",
    )
    results = [
        VllmResult(
            index=result.index,
            relevance_score=result.logit if body.raw_scores else result.score,
            document=returned_document(body.documents[result.index]) if body.return_documents else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    usage = VllmUsage(prompt_tokens=ranked.total_tokens, total_tokens=ranked.total_tokens)
    return json_response(VllmResults(id=f"rerank-{uuid.uuid4().hex}", model=model.name, usage=usage, results=results))
