"""The one rerank call that every dialect makes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from packrank_client import AsyncRerankClient, RerankError, RerankResult, ServerFault, Unauthorized
from packrank_client.question import estimated_tokens, question_from_arguments
from packrank_gateway.distinct_passages import DistinctPassages
from packrank_gateway.errors import GatewayError, error_from_client
from packrank_gateway.scheduling.admission import Admission
from packrank_gateway.scheduling.model_server import ModelServer
from packrank_gateway.telemetry.request_record import RequestRecord
from packrank_gateway.telemetry.tracing import triton_call

log = logging.getLogger(__name__)

# Bytes that cost about as much as scoring a token does on a CPU.
BYTES_PER_WORK_TOKEN = 2048
# the order of the ensemble's tensor `stage_times_us`
STAGES = ("tokenise", "rank")


@dataclass(frozen=True)
class Ranking:
    """The results, highest logit first, and the tokens of all scored pairs."""

    results: list[RerankResult]
    total_tokens: int


class Reranker:
    """Checks, admits and scores whole requests. The client splits them, chooses endpoints and cancels;
    a server's queue says when each part is sent.

    `max_pair_tokens` caps the estimate of a pair's tokens; None if unknown.
    """

    def __init__(
        self,
        client: AsyncRerankClient,
        admission: Admission,
        servers: Sequence[ModelServer],
        *,
        max_pair_tokens: int | None,
    ) -> None:
        self._client = client
        self._admission = admission
        self._max_pair_tokens = max_pair_tokens
        self._servers = {server.endpoint: server for server in servers}

    async def rerank(
        self,
        query: str,
        passages: Sequence[str],
        record: RequestRecord,
        *,
        max_passages: int,
        top_n: int | None = None,
        truncate: str = "NONE",
        **limits: int | None,
    ) -> Ranking:
        """Score every passage. Cancelling the task cancels the work downstream. Raises GatewayError.

        `limits` are those of the client's Question, such as `max_passage_tokens`.
        """
        record.pairs = len(passages)
        if len(passages) > max_passages:
            raise GatewayError(
                "too_many_passages",
                f"the request has {len(passages)} passages; the limit is {max_passages}. "
                "Split it into several requests.",
                facts={"passages": len(passages), "limit": max_passages},
            )
        if record.deadline is None:
            raise AssertionError("a request without a deadline")
        distinct = DistinctPassages(passages)
        try:
            question = question_from_arguments(query, distinct.passages, truncate=truncate, **limits)
            tokens = estimated_tokens(question)
            if self._max_pair_tokens is not None:
                tokens = [min(count, self._max_pair_tokens) for count in tokens]
            remaining_s = record.deadline.remaining_s()
            # a text far over the limit costs reading and copying, though most of it is not scored
            work = sum(tokens) + sum(map(len, question.passages)) // BYTES_PER_WORK_TOKEN
            place = self._admission.place(
                pairs=len(distinct.passages), tokens=work, remaining_s=remaining_s, caller=record.caller
            )
            with place, record.stage("rerank"):
                scored = await self._client.rerank_question(
                    question,
                    timeout_s=remaining_s,
                    around_call=partial(triton_call, caller=record.trace_headers),
                    on_answer=partial(_note_stages, record),
                    turn=partial(self._turn, record.caller, object()),
                    max_chunk_tokens=min(server.chunk_tokens for server in self._servers.values()),
                )
        except RerankError as error:
            if isinstance(error, ServerFault | Unauthorized):
                log.error("the model server failed: %s", error)  # noqa: TRY400 (the sentence says all)
            refusal = error_from_client(error)
            if refusal.passage_index is not None:
                refusal.facts["passage"] = distinct.index_of(refusal.passage_index)
            raise refusal from error
        results = distinct.results(scored)
        record.tokens = sum(result.token_count for result in results)
        record.truncated = sum(result.truncated for result in results)
        return Ranking(results[:top_n], record.tokens)

    @asynccontextmanager
    async def _turn(self, caller: Hashable, request: Hashable, endpoint: str, tokens: int) -> AsyncIterator[None]:
        async with self._servers[endpoint].turn(caller, request, tokens):
            yield
        self._admission.chunk_answered(min(tokens, self._servers[endpoint].queue.limit))


def _note_stages(record: RequestRecord, answer: Any) -> None:
    """Record the stage times. Older ensembles lack this tensor; skip the times for them."""
    times_us = answer.as_numpy("stage_times_us")
    if times_us is not None:
        for stage, microseconds in zip(STAGES, times_us.flatten().tolist(), strict=True):
            record.note_stage(stage, microseconds / 1e6)
