"""Pairs with queries of their own -> one rerank call for each distinct query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from packrank_client import RerankResult
from packrank_gateway.errors import GatewayError
from packrank_gateway.services import Services
from packrank_gateway.telemetry.request_record import RequestRecord

# Triton merges what is in flight together; more would only queue there.
MAX_CONCURRENT_QUERIES = 16


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
    found: dict[int, RerankResult] = {}
    slots = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)

    async def score_query(query: str, own: Sequence[int]) -> None:
        texts = [pairs[place][1] for place in own]
        async with slots:
            try:
                ranked = await services.reranker.rerank(query, texts, record, max_passages=max_pairs, **options)
            except GatewayError as error:
                if error.passage_index is not None:
                    error.facts |= {"passage": own[error.passage_index], "field": field}
                raise
        found.update({own[result.index]: result for result in ranked.results})

    tasks = [asyncio.create_task(score_query(query, own)) for query, own in places.items()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    record.pairs = len(pairs)
    record.tokens = sum(result.token_count for result in found.values())
    record.truncated = sum(result.truncated for result in found.values())
    return [found[place] for place in range(len(pairs))]
