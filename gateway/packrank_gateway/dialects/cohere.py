"""Cohere's dialect, v1 and v2, and Jina's, which shares the path of v1. vLLM serves both paths too.

Contracts: docs.cohere.com/reference/rerank and jina.ai/reranker. One answer serves both: Cohere's `id`, `results` and
`meta`, and Jina's `model`, `object` and `usage`. As at Cohere, documents over the limit are cut. vLLM's own fields
are honoured as at /rerank.
"""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.parts.answer_parts import TokenUsage, Truncated, json_response, token_usage
from packrank_gateway.dialects.parts.documents import Documents, Text, document_texts, returned_document
from packrank_gateway.dialects.parts.fields import (
    ChunksField,
    Ignored,
    PromptField,
    Refused,
    Switch,
    WholeNumber,
    record_for,
)
from packrank_gateway.dialects.vllm import PoolingRequest
from packrank_gateway.model_names import ModelChoice
from packrank_gateway.services import services_of

router = APIRouter(tags=["Cohere and Jina"])

# docs.cohere.com/docs/rerank: a search unit is one query with up to 100 documents
DOCUMENTS_PER_SEARCH_UNIT = 100
# docs.cohere.com/docs/rerank: a query may take half of the model's 4,096 tokens
MAX_QUERY_TOKENS = 2048
INT32_MAX = 2**31 - 1


class CohereRequest(PoolingRequest):
    """One query and its documents."""

    query: Text
    documents: Documents
    top_n: Annotated[WholeNumber | None, Field(ge=1, description="how many of the best to return; default: all")] = None
    top_k: Annotated[WholeNumber | None, Field(ge=1, description="LightRAG's and Voyage's name of top_n")] = None
    return_documents: Annotated[Switch | None, Field(description="return each document in its result")] = None
    max_tokens_per_doc: Annotated[
        WholeNumber | None, Field(ge=1, le=INT32_MAX, description="cut each document to this many tokens")
    ] = 4096
    max_doc_length: Annotated[
        WholeNumber | None, Field(ge=1, le=INT32_MAX, description="Jina's name of max_tokens_per_doc")
    ] = None
    max_query_length: Annotated[
        WholeNumber | None, Field(ge=1, le=INT32_MAX, description="Jina's: cut the query to this many tokens")
    ] = None
    rank_fields: Annotated[
        list[str] | None, Field(min_length=1, max_length=100, description="fields of document objects to score")
    ] = None
    truncation: Annotated[Switch, Field(description="Jina's: false refuses a pair over the limit")] = True
    return_len: Annotated[Switch | None, Field(description="Xinference's: `meta.tokens`, which is always there")] = None
    return_embeddings: Annotated[Any, Refused("a reranker makes no embeddings", unless=(False,))] = None
    instruct: PromptField = None
    max_chunks_per_doc: ChunksField = None
    overlap_tokens: ChunksField = None
    priority: Annotated[Any, Ignored("requests are handled in their order of arrival")] = None


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
async def rerank_v1(request: Request, body: CohereRequest) -> Response:
    """Score documents against a query: Cohere's v1 and Jina's, which LocalAI, GPUStack and Xinference speak too."""
    return await _rerank(request, body, "1")


@router.post("/v1/reranking", response_model=CohereResults)
@router.post("/reranking", response_model=CohereResults)
async def reranking(request: Request, body: CohereRequest) -> Response:
    """Score documents at llama.cpp's paths; its answer is Jina's."""
    return await _rerank(request, body, "1")


@router.post("/v2/rerank", response_model=CohereResults)
async def rerank_v2(request: Request, body: CohereRequest) -> Response:
    """Score documents against a query: Cohere's v2."""
    return await _rerank(request, body, "2")


async def _rerank(request: Request, body: CohereRequest, version: str) -> Response:
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.COHERE)
    texts = document_texts(body.documents, body.rank_fields)
    ranked = await services.reranker.rerank(
        body.query,
        texts,
        record_for(request, body),
        max_passages=services.settings.max_documents,
        top_n=body.top_n or body.top_k,
        truncate="LONGEST_FIRST" if body.truncation else "NONE",
        max_passage_tokens=body.max_doc_length or body.max_tokens_per_doc,
        # Cohere cuts every query; Jina's `truncation: false` asks for none
        max_query_tokens=(
            body.max_query_length or body.max_tokens_per_query or (MAX_QUERY_TOKENS if body.truncation else None)
        ),
        max_pair_tokens=body.pair_limit(services),
    )
    results = [
        CohereResult(
            index=result.index,
            relevance_score=result.logit if body.wants_logits else result.score,
            document=returned_document(body.documents[result.index]) if body.return_documents else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    return json_response(
        CohereResults(
            id=body.request_id or str(uuid.uuid4()),
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
