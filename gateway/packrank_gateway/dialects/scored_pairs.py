"""Pairs with queries of their own -> one rerank call for each distinct query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packrank_client import RerankResult
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import Services
from packrank_gateway.telemetry.request_record import RequestRecord


async def score_pairs(
    services: Services,
    record: RequestRecord,
    pairs: Sequence[tuple[str, str]],
    *,
    field: str,
    max_pairs: int,
    **options: Any,
) -> list[RerankResult]:
    """Score (query, text) pairs, in their order; `options` are those of `Reranker.rerank`.

    `field` names the request's list of texts in errors. Raises GatewayError, with the pair's place in the request.
    """
    if len(pairs) > max_pairs:
        sentence = f"the request has {len(pairs)} pairs; the limit is {max_pairs}. Split it into several requests."
        raise GatewayError("too_many_passages", sentence, facts={"passages": len(pairs), "limit": max_pairs})
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(pairs):
        places.setdefault(query, []).append(place)
    found: list[RerankResult | None] = [None] * len(pairs)
    for query, own in places.items():
        texts = [pairs[place][1] for place in own]
        try:
            ranked = await services.reranker.rerank(query, texts, record, max_passages=max_pairs, **options)
        except GatewayError as error:
            if error.passage_index is not None:
                error.facts |= {"passage": own[error.passage_index], "field": field}
            raise
        for result in ranked.results:
            found[own[result.index]] = result
    record.pairs = len(pairs)
    scored = [result for result in found if result is not None]
    record.tokens = sum(result.token_count for result in scored)
    record.truncated = sum(result.truncated for result in scored)
    return scored
