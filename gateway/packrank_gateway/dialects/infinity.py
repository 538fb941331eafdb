"""infinity's dialect, at /infinity/rerank.

Contract: infinity_emb/fastapi_schemas/pymodels.py. infinity has its own path because its requests look exactly like
vLLM's at /rerank, but its answers differ. A document comes back as a string and only on request, and one over the limit
is cut. Its errors are OpenAI's, like vLLM's.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.parts.answer_parts import TokenUsage, Truncated, json_response, token_usage
from packrank_gateway.dialects.parts.fields import RequestModel, Switch, WholeNumber, record_for
from packrank_gateway.dialects.parts.list_limits import LIST_LIMITS
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of

router = APIRouter(tags=["infinity"])


class InfinityRequest(RequestModel):
    """One query and its documents."""

    model: str | None = None
    query: str
    documents: Annotated[list[str], *LIST_LIMITS]
    return_documents: Annotated[Switch, Field(description="return each document in its result")] = False
    raw_scores: Annotated[Switch, Field(description="return logits instead of their sigmoid")] = False
    top_n: Annotated[WholeNumber | None, Field(ge=1, description="how many of the best to return; default: all")] = None
    top_k: Annotated[WholeNumber | None, Field(ge=1, description="LightRAG's name of top_n")] = None


class InfinityResult(BaseModel):
    """One document, by its place in the request."""

    index: int
    relevance_score: float
    document: str | None = None
    truncated: Truncated = None


class InfinityResults(BaseModel):
    """The results, highest score first. `created` is in seconds since 1970."""

    object: Literal["rerank"] = "rerank"
    id: str
    created: int
    model: str
    usage: TokenUsage
    results: list[InfinityResult]


@router.post("/infinity/rerank", response_model=InfinityResults)
async def rerank(request: Request, body: InfinityRequest) -> Response:
    """Score documents against a query."""
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.VLLM)
    ranked = await services.reranker.rerank(
        body.query,
        body.documents,
        record_for(request, body),
        max_passages=services.settings.max_documents,
        top_n=body.top_n or body.top_k,
        truncate="LONGEST_FIRST",
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
            usage=token_usage(ranked.total_tokens),
            results=results,
        )
    )


@router.get("/infinity/health")
async def health(request: Request) -> dict[str, float]:
    """Tell whether pairs can be scored, with infinity's answer: the time."""
    if not await services_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "the ensemble does not answer; try again later.")
    return {"unix": time.time()}


@router.get("/infinity/models")
async def models(request: Request) -> dict[str, Any]:
    """List the names that a request may give the model."""
    names = services_of(request).models.names
    facts = {"object": "model", "owned_by": "infinity", "backend": "packrank", "capabilities": ["rerank"], "stats": {}}
    return {"object": "list", "data": [{"id": name, **facts} for name in names]}
