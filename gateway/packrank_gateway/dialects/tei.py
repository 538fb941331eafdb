"""The dialect of Text Embeddings Inference: the `texts` form of /rerank, /predict, /info, /health and /metrics.

Contract: text-embeddings-inference, router/src/http/types.rs, router/src/http/server.rs and router/src/lib.rs. TEI has
no field `top_n`, but litellm sends it.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field, RootModel, StrictStr
from pydantic_core import PydanticCustomError

from packrank_gateway.dialects.parts.answer_parts import Truncated, json_response
from packrank_gateway.dialects.parts.fields import Refused, RequestModel, Switch, WholeNumber, record_for
from packrank_gateway.dialects.parts.list_limits import LIST_LIMITS
from packrank_gateway.dialects.parts.scored_pairs import score_pairs
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of

router = APIRouter(tags=["Text Embeddings Inference"])

LABEL = "LABEL_0"


# TEI takes either case
_RIGHT = ("Right", "right")


class TeiOptions(RequestModel):
    """What /rerank and /predict share."""

    raw_scores: Annotated[Switch, Field(description="return logits instead of their sigmoid")] = False
    truncate: Annotated[
        Switch | None, Field(description="cut a pair over the model's limit, the longer text first; default: cut")
    ] = None
    truncation_direction: Annotated[
        Any, Refused("the model's prompt begins with the query; send Right", unless=_RIGHT)
    ] = "Right"

    @property
    def truncate_mode(self) -> str:
        """Return the `truncate` of a rerank call."""
        return "NONE" if self.truncate is False else "LONGEST_FIRST"


class TeiRequest(TeiOptions):
    """One query and its texts."""

    query: str
    texts: Annotated[list[str], *LIST_LIMITS]
    return_text: Annotated[Switch, Field(description="return each text in its result")] = False
    top_n: Annotated[WholeNumber | None, Field(ge=1, description="extension: how many of the best to return")] = None


def _batch_of_pairs(inputs: object) -> object:
    """Check TEI's forms: a pair, or a list of pairs. Pydantic checks the texts."""
    if isinstance(inputs, list) and inputs and all(isinstance(pair, list) and len(pair) == 2 for pair in inputs):
        return inputs
    if isinstance(inputs, list) and len(inputs) == 2 and not any(isinstance(text, list) for text in inputs):
        return inputs
    raise PydanticCustomError("pairs", "a reranker scores pairs; send [query, text] or a list of such pairs")


class TeiPredictRequest(TeiOptions):
    """One pair, or a batch of pairs."""

    inputs: Annotated[
        list[Annotated[list[StrictStr], Field(min_length=2, max_length=2)]] | list[StrictStr],
        BeforeValidator(_batch_of_pairs),
        Field(description="[query, text], or a list of such pairs"),
    ]


class TeiRank(BaseModel):
    """One text, by its place in the request."""

    index: int
    text: str | None = None
    score: float
    truncated: Truncated = None


class TeiRanks(RootModel[list[TeiRank]]):
    """The ranks, highest score first."""


class TeiPrediction(BaseModel):
    """The score of the model's only label."""

    score: float
    label: str = LABEL


class TeiPredictions(RootModel[list[TeiPrediction] | list[list[TeiPrediction]]]):
    """The predictions of one pair, or of each pair of a batch in the order of the request."""


async def rerank_texts(request: Request, body: TeiRequest) -> Response:
    """Score texts against a query."""
    services = services_of(request)
    ranked = await services.reranker.rerank(
        body.query,
        body.texts,
        record_for(request, body),
        max_passages=services.settings.max_passages,
        top_n=body.top_n,
        truncate=body.truncate_mode,
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


@router.post("/predict", response_model=TeiPredictions)
async def predict(request: Request, body: TeiPredictRequest) -> Response:
    """Score pairs; the first text of a pair is its query."""
    services = services_of(request)
    batch = isinstance(body.inputs[0], list)
    pairs: Any = [tuple(pair) for pair in body.inputs] if batch else [tuple(body.inputs)]
    scored = await score_pairs(
        services,
        record_for(request, body),
        pairs,
        field="inputs",
        max_pairs=services.settings.max_passages,
        truncate=body.truncate_mode,
    )
    predictions = [[TeiPrediction(score=pair.logit if body.raw_scores else pair.score)] for pair in scored]
    return json_response(TeiPredictions(predictions if batch else predictions[0]))


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
        "model_type": {"reranker": {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}}},
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
