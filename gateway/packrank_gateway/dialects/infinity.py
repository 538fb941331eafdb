"""infinity's dialect, at /infinity/rerank.

Contract: infinity_emb/fastapi_schemas/pymodels.py. Its requests look like vLLM's at /rerank, and nothing tells the two
apart; its answers differ: a document is a string and comes back only when asked for, and an over-long one is cut. Hence
a path of its own. Its errors are OpenAI's, as vLLM's are.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.answers import json_response
from packrank_gateway.dialects.vllm import VllmUsage
from packrank_gateway.errors import Dialect
from packrank_gateway.gateway import gateway_of
from packrank_gateway.telemetry.record import record_of

router = APIRouter(tags=["infinity"])


class InfinityRequest(BaseModel):
    """One query and its documents."""

    model: str | None = None
    query: str
    documents: Annotated[list[str], Field(json_schema_extra={"minItems": 1})]
    return_documents: Annotated[bool, Field(description="put each document into its result")] = False
    raw_scores: Annotated[bool, Field(description="logits in place of their sigmoid")] = False
    top_n: Annotated[int | None, Field(ge=1, description="only the best; left out: all")] = None


class InfinityResult(BaseModel):
    """One document, by its place in the request."""

    index: int
    relevance_score: float
    document: str | None = None
    truncated: Annotated[bool | None, Field(description="extension: there, and true, only where the tail was cut")] = (
        None
    )


class InfinityResults(BaseModel):
    """Highest score first; `created` in seconds since 1970."""

    object: Literal["rerank"] = "rerank"
    id: str
    created: int
    model: str
    usage: VllmUsage
    results: list[InfinityResult]


@router.post("/infinity/rerank", response_model=InfinityResults)
async def rerank(request: Request, body: InfinityRequest) -> Response:
    """Score documents against a query."""
    gateway = gateway_of(request)
    model = gateway.models.choose(body.model, Dialect.VLLM)
    ranked = await gateway.reranker.rerank(
        body.query,
        body.documents,
        record_of(request),
        max_passages=gateway.settings.max_documents,
        top_n=body.top_n,
        truncate="END",
    )
    results = [
        InfinityResult(
            index=result.index,
            relevance_score=result.logit if body.raw_scores else result.score,
            document=body.documents[result.index] if body.return_documents else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    return json_response(
        InfinityResults(
            id=f"infinity-{uuid.uuid4()}",
            created=int(time.time()),
            model=model.name,
            usage=VllmUsage(prompt_tokens=ranked.total_tokens, total_tokens=ranked.total_tokens),
            results=results,
        )
    )
