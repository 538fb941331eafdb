"""NVIDIA's NIM dialect.

Contract: docs.nvidia.com/nim/nemo-retriever/text-reranking (OpenAPI reference). tests/real_clients shows what NVIDIA's
clients send. NIM has no field `top_k`, but litellm sends it for its own `top_n`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.parts.answer_parts import TokenUsage, Truncated, json_response, token_usage
from packrank_gateway.dialects.parts.fields import ImageField, RequestModel, Switch, WholeNumber, record_for
from packrank_gateway.dialects.parts.list_limits import LIST_LIMITS
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of

router = APIRouter(tags=["NVIDIA NIM"])


class NimText(BaseModel):
    """A text, wrapped in an object."""

    text: str
    image: ImageField = None


class NimRequest(RequestModel):
    """One query and its passages."""

    model: str | None = None
    query: NimText
    passages: Annotated[list[NimText], *LIST_LIMITS]
    truncate: Annotated[
        Literal["NONE", "END"],
        Field(description="a pair over the model's limit: NONE refuses the request, END cuts the passage's tail"),
    ] = "NONE"
    top_k: Annotated[WholeNumber | None, Field(ge=1, description="extension: how many of the best to return")] = None
    return_token_counts: Annotated[Switch, Field(description="extension: return `token_count` in each rank")] = False


class NimRank(BaseModel):
    """One passage, by its place in the request."""

    index: int
    logit: float
    token_count: Annotated[int | None, Field(description="extension: tokens of the pair, if asked for")] = None
    truncated: Truncated = None


class NimRankings(BaseModel):
    """The ranks, highest logit first."""

    rankings: list[NimRank]
    usage: TokenUsage


@router.post("/v1/ranking", response_model=NimRankings)
async def ranking(request: Request, body: NimRequest) -> Response:
    """Score passages against a query."""
    return await _rank(request, body, body.model)


@router.post("/v1/retrieval/nvidia/reranking", response_model=NimRankings)
async def hosted_ranking(request: Request, body: NimRequest) -> Response:
    """Score passages at the path of NVIDIA's hosted endpoints that name the model in the body only."""
    return await _rank(request, body, body.model)


@router.post("/v1/retrieval/nvidia/{model}/reranking", response_model=NimRankings)
async def hosted_model_ranking(request: Request, model: str, body: NimRequest) -> Response:
    """Score passages at the path of NVIDIA's hosted endpoint of one model, such as `llama-3_2-nv-rerankqa-1b-v2`."""
    services_of(request).models.choose(model, Dialect.NIM)
    return await _rank(request, body, body.model)


async def _rank(request: Request, body: NimRequest, model: str | None) -> Response:
    services = services_of(request)
    services.models.choose(model, Dialect.NIM)
    ranked = await services.reranker.rerank(
        body.query.text,
        [passage.text for passage in body.passages],
        record_for(request, body),
        max_passages=services.settings.max_passages,
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
    return json_response(NimRankings(rankings=rankings, usage=token_usage(ranked.total_tokens)))


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """List the names that a request may give the model."""
    names = services_of(request).models.names
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "packrank"} for name in names]}


@router.get("/v1/health/live")
async def live() -> dict[str, str]:
    """Tell that the process answers."""
    return {"object": "health.response", "message": "Service is live.", "status": "live"}


@router.get("/v1/health/ready", responses={503: {"description": "the ensemble does not answer"}})
async def ready(request: Request) -> dict[str, str]:
    """Tell whether the ensemble answered a real inference within the last seconds."""
    if not await services_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "Service is not ready: the ensemble does not answer; try again later.")
    return {"object": "health.response", "message": "Service is ready.", "status": "ready"}


@router.get("/v1/metadata")
async def metadata(request: Request) -> dict[str, Any]:
    """Describe the model and the gateway's version."""
    services = services_of(request)
    facts = services.facts
    model = {"shortName": services.models.names[0], "modelUrl": facts.source or ""}
    return {
        "version": services.version,
        "modelInfo": [model],
        "assetInfo": [],
        "licenseInfo": license_info(),
        "repository_override": "",
        "selectedModelProfileId": facts.precision or "",
        "notice": facts.notice,
    }


@router.get("/v1/license")
async def license_text() -> dict[str, Any]:
    """Return the licence of this server; the model has its own, which its source states."""
    return license_info()


@router.get("/v1/manifest")
async def manifest() -> dict[str, str]:
    """Return NIM's list of model profiles: none, because the model repository holds one built model."""
    return {"manifest_file": "", "repository_override": ""}


@router.get("/v1/version")
async def version(request: Request) -> dict[str, str]:
    """Return the versions of the server and of its API."""
    return {"release": services_of(request).version, "api": "1.0.0"}


@cache
def license_info() -> dict[str, Any]:
    """Describe the licence file of the installed package, as NIM does."""
    package = importlib.metadata.distribution("packrank")
    text = package.read_text("licenses/LICENSE") or ""
    return {
        "name": package.metadata["License-Expression"],
        "path": "LICENSE",
        "sha": hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        "size": len(text),
        "url": "https://www.apache.org/licenses/LICENSE-2.0",
        "type": "file",
        "content": text,
    }


@router.get("/v1/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return the Prometheus metrics."""
    return await services_of(request).metrics_response()
