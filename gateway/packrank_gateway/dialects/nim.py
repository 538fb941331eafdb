"""NVIDIA's NIM dialect.

Contract: docs.nvidia.com/nim/nemo-retriever/text-reranking (OpenAPI reference); what its clients send stands in
tests/real_clients. `top_k` is no field of NIM's, but litellm sends it for its own `top_n`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.answers import json_response
from packrank_gateway.errors import Dialect, GatewayError
from packrank_gateway.gateway import gateway_of
from packrank_gateway.telemetry.record import record_of

router = APIRouter(tags=["NVIDIA NIM"])


class NimText(BaseModel):
    """A text in an object of its own."""

    text: str


class NimRequest(BaseModel):
    """One query and its passages."""

    model: str | None = None
    query: NimText
    passages: Annotated[list[NimText], Field(json_schema_extra={"minItems": 1})]
    truncate: Annotated[
        Literal["NONE", "END"],
        Field(description="NONE: a pair over the model's limit fails the request. END: the passage's tail is cut."),
    ] = "NONE"
    top_k: Annotated[int | None, Field(ge=1, description="extension: only the best")] = None
    return_token_counts: Annotated[bool, Field(description="extension: the tokens of each pair in its rank")] = False


class NimRank(BaseModel):
    """One passage, by its place in the request."""

    index: int
    logit: float
    token_count: Annotated[int | None, Field(description="extension: there only when asked for")] = None
    truncated: Annotated[bool | None, Field(description="extension: there, and true, only where the tail was cut")] = (
        None
    )


class NimUsage(BaseModel):
    """Tokens of all pairs, after truncation."""

    prompt_tokens: int
    total_tokens: int


class NimRankings(BaseModel):
    """Highest logit first."""

    rankings: list[NimRank]
    usage: NimUsage


@router.post("/v1/ranking", response_model=NimRankings)
async def ranking(request: Request, body: NimRequest) -> Response:
    """Score passages against a query."""
    return await _rank(request, body, body.model)


@router.post("/v1/retrieval/nvidia/reranking", response_model=NimRankings)
async def hosted_ranking(request: Request, body: NimRequest) -> Response:
    """The path of NVIDIA's hosted endpoints whose models are named in the body only."""
    return await _rank(request, body, body.model)


@router.post("/v1/retrieval/nvidia/{model}/reranking", response_model=NimRankings)
async def hosted_model_ranking(request: Request, model: str, body: NimRequest) -> Response:
    """The path of NVIDIA's hosted endpoint of one model, such as `llama-3_2-nv-rerankqa-1b-v2`."""
    gateway_of(request).models.choose(model, Dialect.NIM)
    return await _rank(request, body, body.model)


async def _rank(request: Request, body: NimRequest, model: str | None) -> Response:
    gateway = gateway_of(request)
    gateway.models.choose(model, Dialect.NIM)
    ranked = await gateway.reranker.rerank(
        body.query.text,
        [passage.text for passage in body.passages],
        record_of(request),
        max_passages=gateway.settings.max_passages,
        top_n=body.top_k,
        truncate=body.truncate,
    )
    rankings = [
        NimRank(
            index=result.index,
            logit=result.logit,
            token_count=result.token_count if body.return_token_counts else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    usage = NimUsage(prompt_tokens=ranked.total_tokens, total_tokens=ranked.total_tokens)
    return json_response(NimRankings(rankings=rankings, usage=usage))


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """The names that the model answers to."""
    names = gateway_of(request).models.names
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "packrank"} for name in names]}


@router.get("/v1/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"object": "health.response", "message": "Service is live.", "status": "live"}


@router.get("/v1/health/ready", responses={503: {"description": "the ensemble does not answer"}})
async def ready(request: Request) -> dict[str, str]:
    """The ensemble has answered a real inference within the last seconds."""
    if not await gateway_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "Service is not ready: the ensemble does not answer; try again later.")
    return {"object": "health.response", "message": "Service is ready.", "status": "ready"}


@router.get("/v1/metadata")
async def metadata(request: Request) -> dict[str, Any]:
    """What is served, and by what version."""
    gateway = gateway_of(request)
    facts = gateway.facts
    model = {"shortName": gateway.models.names[0], "modelUrl": facts.source or ""}
    return {"version": gateway.version, "modelInfo": [model], "assetInfo": [], "notice": facts.notice}


@router.get("/v1/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return await gateway_of(request).metrics_response()
