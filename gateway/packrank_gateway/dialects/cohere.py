"""Cohere's dialect, v1 and v2, and Jina's, which shares the path of v1.

Contracts: docs.cohere.com/reference/rerank and jina.ai/reranker. One answer serves both: Cohere's `id`, `results` and
`meta`, and Jina's `model`, `object` and `usage`. As at Cohere, documents over the limit are cut.
"""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.answer_parts import TokenUsage, Truncated, json_response, token_usage
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.documents import Documents, document_texts, returned_document
from packrank_gateway.model_names import ModelChoice
from packrank_gateway.services import services_of
from packrank_gateway.telemetry.request_record import record_of

router = APIRouter(tags=["Cohere and Jina"])

# docs.cohere.com/docs/rerank: a search unit is one query with up to 100 documents
DOCUMENTS_PER_SEARCH_UNIT = 100
INT32_MAX = 2**31 - 1


class CohereRequest(BaseModel):
    """One query and its documents."""

    model: str | None = None
    query: str
    documents: Documents
    top_n: Annotated[int | None, Field(ge=1, description="how many of the best to return; default: all")] = None
    return_documents: Annotated[bool | None, Field(description="return each document in its result")] = None
    max_tokens_per_doc: Annotated[
        int | None, Field(ge=1, le=INT32_MAX, description="cut each document to this many tokens")
    ] = 4096


class CohereV1Request(CohereRequest):
    """The request of v1, and Jina's."""

    rank_fields: Annotated[list[str] | None, Field(min_length=1, description="fields of document objects to score")] = (
        None
    )


class CohereResult(BaseModel):
    """One document, by its place in the request; the score is the sigmoid of the model's logit."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None
    truncated: Truncated = None


class CohereMeta(BaseModel):
    """Facts about the call."""

    api_version: dict[str, str | bool]
    billed_units: dict[str, int]
    tokens: dict[str, int]
    warnings: list[str] | None = None


class CohereResults(BaseModel):
    """The results, highest score first. `usage` is Jina's."""

    id: str
    object: Literal["list"] = "list"
    model: str
    results: list[CohereResult]
    meta: CohereMeta
    usage: TokenUsage


@router.post("/v1/rerank", response_model=CohereResults)
async def rerank_v1(request: Request, body: CohereV1Request) -> Response:
    """Score documents against a query: Cohere's v1 and Jina's."""
    return await _rerank(request, body, document_texts(body.documents, body.rank_fields), "1")


@router.post("/v2/rerank", response_model=CohereResults)
async def rerank_v2(request: Request, body: CohereRequest) -> Response:
    """Score documents against a query: Cohere's v2."""
    return await _rerank(request, body, document_texts(body.documents), "2")


async def _rerank(request: Request, body: CohereRequest, texts: list[str], version: str) -> Response:
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.COHERE)
    ranked = await services.reranker.rerank(
        body.query,
        texts,
        record_of(request),
        max_passages=services.settings.max_documents,
        top_n=body.top_n,
        truncate="END",
        max_passage_tokens=body.max_tokens_per_doc,
    )
    results = [
        CohereResult(
            index=result.index,
            relevance_score=result.score,
            document=returned_document(body.documents[result.index]) if body.return_documents else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    return json_response(
        CohereResults(
            id=str(uuid.uuid4()),
            model=model.name,
            results=results,
            meta=_meta(model, version, len(texts), ranked.total_tokens),
            usage=token_usage(ranked.total_tokens),
        )
    )


def _meta(model: ModelChoice, version: str, documents: int, tokens: int) -> CohereMeta:
    return CohereMeta(
        api_version={"version": version, "is_experimental": False},
        billed_units={"search_units": math.ceil(documents / DOCUMENTS_PER_SEARCH_UNIT)},
        tokens={"input_tokens": tokens, "output_tokens": 0},
        warnings=[model.warning] if model.warning else None,
    )
