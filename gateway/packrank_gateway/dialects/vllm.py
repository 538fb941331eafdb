"""vLLM's dialect: the `documents` form of /rerank.

Contract: vllm/entrypoints/pooling/scoring/protocol.py. A document comes back as an object, and one over the limit is
refused unless `truncate_prompt_tokens` is -1. infinity's similar requests have their own path (`infinity`).
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.answer_parts import TokenUsage, Truncated, json_response, token_usage
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.documents import Documents, document_texts, returned_document
from packrank_gateway.services import services_of
from packrank_gateway.telemetry.request_record import record_of


class VllmRequest(BaseModel):
    """One query and its documents."""

    model: str | None = None
    query: str
    documents: Documents
    top_n: Annotated[int | None, Field(ge=0, description="how many of the best to return; 0 or default: all")] = None
    return_documents: Annotated[bool, Field(description="return each document in its result")] = True
    raw_scores: Annotated[bool, Field(description="infinity's: return logits instead of their sigmoid")] = False
    truncate_prompt_tokens: Annotated[
        Literal[-1] | None, Field(description="-1: cut the tail of a document over the model's limit")
    ] = None


class VllmResult(BaseModel):
    """One document, by its place in the request."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None
    truncated: Truncated = None


class VllmResults(BaseModel):
    """The results, highest score first."""

    id: str
    object: Literal["rerank"] = "rerank"
    model: str
    usage: TokenUsage
    results: list[VllmResult]


async def rerank_documents(request: Request, body: VllmRequest) -> Response:
    """Score documents against a query."""
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.VLLM)
    ranked = await services.reranker.rerank(
        body.query,
        document_texts(body.documents),
        record_of(request),
        max_passages=services.settings.max_documents,
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
    usage = token_usage(ranked.total_tokens)
    return json_response(VllmResults(id=f"rerank-{uuid.uuid4().hex}", model=model.name, usage=usage, results=results))
