"""POST /rerank, the path of two dialects: TEI's body has `texts`, vLLM's has `documents`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Discriminator, Tag

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.tei import TeiRanks, TeiRequest, rerank_texts
from packrank_gateway.dialects.vllm import VllmRequest, VllmResults, rerank_documents
from packrank_gateway.telemetry.request_record import record_of

router = APIRouter(tags=["Text Embeddings Inference", "vLLM and infinity"])


def dialect_of_body(body: Any) -> Dialect:
    """Tell vLLM's body, which has documents and no texts, from TEI's."""
    if isinstance(body, VllmRequest):
        return Dialect.VLLM
    return Dialect.VLLM if isinstance(body, dict) and "documents" in body and "texts" not in body else Dialect.TEI


def _tag(body: Any) -> str:
    return dialect_of_body(body).value


@router.post("/rerank", response_model=TeiRanks | VllmResults)
async def rerank(
    request: Request,
    body: Annotated[
        Annotated[TeiRequest, Tag("tei")] | Annotated[VllmRequest, Tag("vllm")], Discriminator(_tag), Body()
    ],
) -> Response:
    """Score `texts` (TEI) or `documents` (vLLM, infinity) against a query."""
    if isinstance(body, VllmRequest):
        record_of(request).dialect = Dialect.VLLM
        return await rerank_documents(request, body)
    return await rerank_texts(request, body)
