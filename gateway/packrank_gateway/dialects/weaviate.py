"""The dialect of Weaviate's reranker-transformers module: /weaviate, and /rerank when `property` is there.

Contract: weaviate/reranker-transformers on GitHub, app.py and crossencoder.py. Scores keep the order of the documents.
RERANKER_INFERENCE_API takes the base URL `http://<gateway>:8080/weaviate`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.parts.answer_parts import json_response
from packrank_gateway.dialects.parts.documents import as_list
from packrank_gateway.dialects.parts.fields import RequestModel, record_for
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of

router = APIRouter(tags=["Weaviate"])


class WeaviateRequest(RequestModel):
    """One query, and its documents or one property."""

    query: str
    documents: list[str] | None = None
    property: Annotated[str | None, Field(description="one text, if there are no documents")] = None


class WeaviateScore(BaseModel):
    """One document."""

    document: str
    score: float


class WeaviateScores(BaseModel):
    """The scores, in the order of the documents; `score` is the property's."""

    query: str
    scores: list[WeaviateScore] | None = None
    property: str | None = None
    score: float | None = None


@router.post("/weaviate/rerank", response_model=WeaviateScores)
async def rerank_property(request: Request, body: WeaviateRequest) -> Response:
    """Score documents against a query."""
    services = services_of(request)
    texts: Any = as_list(body.property) if body.documents is None else body.documents
    if texts is None:
        raise GatewayError("invalid_field", "documents: required, and missing. GET /docs shows every field.")
    ranked = await services.reranker.rerank(
        body.query,
        texts,
        record_for(request, body),
        max_passages=services.settings.max_documents,
        truncate="LONGEST_FIRST",
    )
    by_place = sorted(ranked.results, key=lambda result: result.index)
    if body.documents is None:
        return json_response(WeaviateScores(query=body.query, property=body.property, score=by_place[0].score))
    scores = [WeaviateScore(document=texts[result.index], score=result.score) for result in by_place]
    return json_response(WeaviateScores(query=body.query, scores=scores))


@router.get("/.well-known/live", status_code=204)
@router.get("/weaviate/.well-known/live", status_code=204)
async def live() -> None:
    """Tell that the process answers."""


@router.get("/.well-known/ready", status_code=204)
@router.get("/weaviate/.well-known/ready", status_code=204)
async def ready(request: Request) -> None:
    """Tell whether pairs can be scored."""
    if not await services_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "the ensemble does not answer; try again later.")


@router.get("/meta")
@router.get("/weaviate/meta")
async def meta(request: Request) -> dict[str, Any]:
    """Describe the model."""
    services = services_of(request)
    return {"model_name": services.models.names[0], "version": services.version}
