"""The dialect of Text Embeddings Inference: the `texts` form of /rerank, /info, /health and /metrics.

Contract: text-embeddings-inference, router/src/http/types.rs and router/src/lib.rs. TEI has no field `top_n`, but
litellm sends it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, RootModel

from packrank_gateway.dialects.answer_parts import Truncated, json_response
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of
from packrank_gateway.telemetry.request_record import record_of

router = APIRouter(tags=["Text Embeddings Inference"])


class TeiRequest(BaseModel):
    """One query and its texts."""

    query: str
    texts: Annotated[list[str], Field(json_schema_extra={"minItems": 1})]
    raw_scores: Annotated[bool, Field(description="return logits instead of their sigmoid")] = False
    return_text: Annotated[bool, Field(description="return each text in its result")] = False
    truncate: Annotated[
        bool | None, Field(description="cut the tail of a text over the model's limit; default: cut, like TEI")
    ] = None
    truncation_direction: Annotated[
        Literal["Right", "right"], Field(description="Right only, because the model's prompt begins with the query")
    ] = "Right"
    top_n: Annotated[int | None, Field(ge=1, description="extension: how many of the best to return")] = None


class TeiRank(BaseModel):
    """One text, by its place in the request."""

    index: int
    text: str | None = None
    score: float
    truncated: Truncated = None


class TeiRanks(RootModel[list[TeiRank]]):
    """The ranks, highest score first."""


async def rerank_texts(request: Request, body: TeiRequest) -> Response:
    """Score texts against a query."""
    services = services_of(request)
    ranked = await services.reranker.rerank(
        body.query,
        body.texts,
        record_of(request),
        max_passages=services.settings.max_passages,
        top_n=body.top_n,
        truncate="NONE" if body.truncate is False else "END",
    )
    return json_response(
        TeiRanks(
            [
                TeiRank(
                    index=result.index,
                    text=body.texts[result.index] if body.return_text else None,
                    score=result.logit if body.raw_scores else result.score,
                    truncated=result.truncated or None,
                )
                for result in ranked.results
            ]
        )
    )


@router.get("/health", responses={503: {"description": "the ensemble does not answer"}})
async def health(request: Request) -> dict[str, str]:
    """Tell whether the ensemble answered a real inference within the last seconds."""
    if not await services_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "the ensemble does not answer; try again later.")
    return {"status": "ready"}


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """Describe the model and every limit, by TEI's names and, in `limits`, by the gateway's."""
    services = services_of(request)
    settings, facts = services.settings, services.facts
    return {
        "model_id": services.models.names[0],
        "served_model_name": services.models.names[0],
        "model_sha": facts.revision,
        "model_dtype": facts.precision or "unknown",
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": settings.max_pending_pairs,
        "max_input_length": facts.max_pair_tokens,
        "max_batch_tokens": settings.max_pending_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_passages,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": services.version,
        "notice": facts.notice,
        "limits": services.limits(),
    }


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return the Prometheus metrics."""
    return await services_of(request).metrics_response()
