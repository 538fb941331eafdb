"""Paths that several dialects share: the fields of a body tell whose it is.

POST /rerank is TEI's, vLLM's and Weaviate's. POST /invocations is what Amazon SageMaker calls, and POST / what
Hugging Face's InferenceClient calls: they take every form.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import Discriminator, Tag

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.nim import NimRankings, NimRequest, ranking
from packrank_gateway.dialects.tei import TeiPredictRequest, TeiRanks, TeiRequest, predict, rerank_texts
from packrank_gateway.dialects.vllm import (
    SCORE_FORMS,
    VllmRequest,
    VllmResults,
    VllmScoreRequest,
    VllmScores,
    rerank_documents,
    score,
)
from packrank_gateway.dialects.weaviate import WeaviateRequest, WeaviateScores, rerank_property
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import services_of
from packrank_gateway.telemetry.request_record import record_of

router = APIRouter(tags=["Shared paths"])

PATHS = frozenset({"/", "/rerank", "/invocations"})
# the dialect of each form's errors; Weaviate reads `error`, as TEI's clients do
_DIALECTS = {"tei": Dialect.TEI, "predict": Dialect.TEI, "weaviate": Dialect.TEI, "nim": Dialect.NIM}


# What tells a form, most telling first. Score requests have `documents` too, but no `query`.
_SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("tei", frozenset({"texts"})),
    ("nim", frozenset({"passages"})),
    ("predict", frozenset({"inputs"})),
    ("score", frozenset(name for names in SCORE_FORMS for name in names) - {"documents"}),
    ("vllm", frozenset({"documents"})),
)


def form_of(body: Any) -> str:
    """Name the form of a body; TEI's if nothing tells."""
    if not isinstance(body, dict):
        return "tei"
    names = body.keys()
    if "property" in names and not names & {"texts", "model", "top_n"}:
        return "weaviate"
    return next((form for form, signs in _SIGNS if names & signs), "tei")


def dialect_of_body(body: Any) -> Dialect:
    """Tell in whose words a body is refused."""
    return _DIALECTS.get(form_of(body), Dialect.VLLM)


def _rerank_form(body: Any) -> str:
    """Name the form of a body at /rerank, whose owners have no other forms there."""
    form = form_of(body)
    return form if form in {"vllm", "weaviate"} else "tei"


RerankForms: TypeAlias = (
    Annotated[TeiRequest, Tag("tei")]
    | Annotated[VllmRequest, Tag("vllm")]
    | Annotated[WeaviateRequest, Tag("weaviate")]
)
Forms: TypeAlias = (
    RerankForms
    | Annotated[NimRequest, Tag("nim")]
    | Annotated[TeiPredictRequest, Tag("predict")]
    | Annotated[VllmScoreRequest, Tag("score")]
)


@router.post("/rerank", response_model=TeiRanks | VllmResults | WeaviateScores)
async def rerank(request: Request, body: Annotated[RerankForms, Discriminator(_rerank_form), Body()]) -> Response:
    """Score `texts` (TEI) or `documents` (vLLM; Weaviate with `property`) against a query."""
    return await _answer(request, body)


@router.post("/invocations", response_model=TeiRanks | VllmResults | VllmScores | WeaviateScores | NimRankings)
@router.post("/", response_model=TeiRanks | VllmResults | VllmScores | WeaviateScores | NimRankings)
async def invocations(request: Request, body: Annotated[Forms, Discriminator(form_of), Body()]) -> Response:
    """Answer any form of TEI, vLLM, Weaviate or NIM."""
    return await _answer(request, body)


@router.get("/ping", response_class=Response, responses={503: {"description": "the ensemble does not answer"}})
async def ping(request: Request) -> Response:
    """Tell Amazon SageMaker whether pairs can be scored; the body is empty."""
    if not await services_of(request).readiness.is_ready():
        raise GatewayError("not_ready", "the ensemble does not answer; try again later.")
    return Response()


async def _answer(request: Request, body: Any) -> Response:
    record = record_of(request)
    if isinstance(body, VllmRequest | VllmScoreRequest):
        record.dialect = Dialect.VLLM
        return await (rerank_documents(request, body) if isinstance(body, VllmRequest) else score(request, body))
    if isinstance(body, NimRequest):
        record.dialect = Dialect.NIM
        return await ranking(request, body)
    if isinstance(body, WeaviateRequest):
        return await rerank_property(request, body)
    return await (predict(request, body) if isinstance(body, TeiPredictRequest) else rerank_texts(request, body))
