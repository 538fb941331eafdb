"""vLLM's dialect: the `documents` form of /rerank, and /score.

Contract: vllm/entrypoints/pooling/base/protocol.py and scoring/protocol.py. A document comes back as an object, and one
over the limit is refused unless `truncate_prompt_tokens` cuts it. infinity's similar requests have their own path.
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
from packrank_gateway.dialects.parts.documents import Documents, Text, Texts, document_texts, returned_document
from packrank_gateway.dialects.parts.fields import (
    Ignored,
    PromptField,
    Refused,
    RequestModel,
    Switch,
    WholeNumber,
    describe,
    record_for,
)
from packrank_gateway.dialects.parts.scored_pairs import score_pairs
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import Services, services_of

router = APIRouter(tags=["vLLM"])

# scoring/protocol.py names the same two lists in four ways
SCORE_FORMS = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))


class PoolingRequest(RequestModel):
    """What /rerank and /score share, and /v1/rerank and /v2/rerank, which vLLM serves too (`cohere`)."""

    model: str | None = None
    truncate_prompt_tokens: Annotated[
        WholeNumber | None,
        Field(ge=-1, description="cut a pair to this many tokens, the longer text first; -1: to the model's limit"),
    ] = None
    truncation_side: Annotated[
        Any, Refused("the model's prompt begins with the query; send right", unless=("right",))
    ] = None
    max_tokens_per_query: Annotated[WholeNumber | None, Field(ge=0, description="cut the query; 0: not")] = None
    max_tokens_per_doc: Annotated[WholeNumber | None, Field(ge=0, description="cut each document; 0: not")] = None
    use_activation: Switch | None = describe("false: return logits instead of their sigmoid")
    activation: Switch | None = describe("older name of use_activation")
    softmax: Switch | None = describe("older name of use_activation")
    raw_scores: Annotated[Switch, Field(description="infinity's: return logits instead of their sigmoid")] = False
    request_id: str | None = describe("becomes the `id` of the answer")
    priority: Annotated[Any, Refused("requests are handled in their order of arrival; send 0", unless=(0,))] = None
    chat_template: PromptField = None
    chat_template_kwargs: PromptField = None
    normalize: Annotated[Any, Refused("vLLM removed it; send use_activation")] = None
    padding: Annotated[Any, Ignored("pairs are never padded, and padding would change no score")] = None
    cache_salt: Annotated[Any, Ignored("there is no prefix cache to protect")] = None
    mm_processor_kwargs: Annotated[Any, Ignored("for images, which are refused")] = None
    media_io_kwargs: Annotated[Any, Ignored("for images, which are refused")] = None

    @property
    def wants_logits(self) -> bool:
        """Tell whether the caller turned the sigmoid off."""
        return self.raw_scores or False in (self.use_activation, self.activation, self.softmax)

    def pair_limit(self, services: Services) -> int | None:
        """Return how many tokens a pair may have, None for the model's limit. Raises GatewayError(invalid_field)."""
        cut_to, most = self.truncate_prompt_tokens, services.facts.max_pair_tokens
        if cut_to == 0 or (cut_to is not None and most is not None and cut_to > most):
            sentence = (
                f"truncate_prompt_tokens is {cut_to}; send -1, or at least 1 and at most {most}, the model's limit."
            )
            raise GatewayError("invalid_field", sentence)
        return None if cut_to == -1 else cut_to

    def limits(self, services: Services) -> dict[str, Any]:
        """Return the arguments of a rerank call that say how to cut. Raises GatewayError(invalid_field)."""
        return {
            "truncate": "NONE" if self.truncate_prompt_tokens is None else "LONGEST_FIRST",
            "max_pair_tokens": self.pair_limit(services),
            "max_query_tokens": self.max_tokens_per_query or None,
            "max_passage_tokens": self.max_tokens_per_doc or None,
        }


class VllmRequest(PoolingRequest):
    """One query and its documents."""

    query: Text
    documents: Documents
    top_n: Annotated[
        WholeNumber | None, Field(ge=0, description="how many of the best to return; 0 or default: all")
    ] = None
    top_k: Annotated[WholeNumber | None, Field(ge=0, description="LightRAG's name of top_n")] = None
    return_documents: Annotated[Switch, Field(description="return each document in its result")] = True


class VllmScoreRequest(PoolingRequest):
    """Two lists of texts, under one of four pairs of names: one text with N, or N with N."""

    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None

    def form(self) -> tuple[str, str]:
        """Return the two names that this request uses. Raises GatewayError(invalid_field)."""
        for names in SCORE_FORMS:
            if all(getattr(self, name) is not None for name in names):
                return names
        forms = ", ".join(" and ".join(names) for names in SCORE_FORMS)
        raise GatewayError("invalid_field", f"two lists of texts are required: {forms}. GET /docs shows every field.")

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs to score. Raises GatewayError(invalid_field)."""
        names = self.form()
        return _paired(getattr(self, names[0]), getattr(self, names[1]), names)


class VllmResult(BaseModel):
    """One document, by its place in the request."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None
    truncated: Truncated = None


class VllmResults(BaseModel):
    """The results, highest score first."""

    id: str
    object: Literal["rerank"] = "rerank"
    model: str
    usage: TokenUsage
    results: list[VllmResult]


class VllmScore(BaseModel):
    """The score of one pair."""

    index: int
    object: Literal["score"] = "score"
    score: float
    truncated: Truncated = None


class VllmScores(BaseModel):
    """The scores, in the order of the request. `created` is in seconds since 1970."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[VllmScore]
    usage: TokenUsage


async def rerank_documents(request: Request, body: VllmRequest) -> Response:
    """Score documents against a query."""
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.VLLM)
    ranked = await services.reranker.rerank(
        body.query,
        document_texts(body.documents),
        record_for(request, body),
        max_passages=services.settings.max_documents,
        top_n=body.top_n or body.top_k or None,
        **body.limits(services),
    )
    results = [
        VllmResult(
            index=result.index,
            relevance_score=result.logit if body.wants_logits else result.score,
            document=returned_document(body.documents[result.index]) if body.return_documents else None,
            truncated=result.truncated or None,
        )
        for result in ranked.results
    ]
    usage, name = token_usage(ranked.total_tokens), body.request_id or f"rerank-{uuid.uuid4().hex}"
    return json_response(VllmResults(id=name, model=model.name, usage=usage, results=results))


@router.post("/score", response_model=VllmScores)
@router.post("/v1/score", response_model=VllmScores)
async def score(request: Request, body: VllmScoreRequest) -> Response:
    """Score pairs of texts; the first text of a pair is its query."""
    services = services_of(request)
    model = services.models.choose(body.model, Dialect.VLLM)
    scored = await score_pairs(
        services,
        record_for(request, body),
        body.pairs(),
        field=body.form()[1],
        max_pairs=services.settings.max_documents,
        **body.limits(services),
    )
    data = [
        VllmScore(index=index, score=pair.logit if body.wants_logits else pair.score, truncated=pair.truncated or None)
        for index, pair in enumerate(scored)
    ]
    return json_response(
        VllmScores(
            id=body.request_id or f"score-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model.name,
            data=data,
            usage=token_usage(sum(pair.token_count for pair in scored)),
        )
    )


def _paired(first: list[str], second: list[str], names: tuple[str, str]) -> list[tuple[str, str]]:
    for name, texts in zip(names, (first, second), strict=True):
        if not texts:
            raise GatewayError("invalid_field", f"{name} is empty; send at least one text.")
    if len(first) == 1:
        return [(first[0], text) for text in second]
    if len(first) != len(second):
        sentence = (
            f"{names[0]} has {len(first)} texts and {names[1]} {len(second)}; send one text in {names[0]}, or as many."
        )
        raise GatewayError("invalid_field", sentence)
    return list(zip(first, second, strict=True))
