"""One model server as the gateway sees it: the queue in front of it, and signs that it works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Any

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from packrank_client import AsyncRerankClient, DeadlineExceeded, RerankError
from packrank_gateway.scheduling.fair_queue import FairQueue

RANKER = "ranker"
# Tokens at a server whose configuration is not known yet: one batch of the CPU's.
DEFAULT_RUNNING_TOKENS = 4096
# Chunks that fit at the server together: one runs, and one waits behind it.
CHUNKS_AT_SERVER = 2
LOOKUP_TIMEOUT_S = 2.0
# The longest wait for a server to be done with abandoned work. One that takes longer is stuck.
SETTLE_TIMEOUT_S = 20.0

# Anything answered within this time proves that the server works.
FRESH_S = 2.0
# A server that works, but has answered nothing for so long, is stalled.
STALL_S = 14.0
# How long a question about readiness waits for the probe that it sent.
PROBE_WAIT_S = 3.0


class ModelServer:
    """One endpoint. All methods run in one event loop.

    `max_running_tokens` bounds the estimated tokens at the server at the same time; None takes the batch limit of its
    ranker: twice that for an engine, which needs the next batch the moment one ends, and once on a CPU, where a batch
    takes seconds and is run in pieces.
    """

    def __init__(self, endpoint: str, max_running_tokens: int | None = None) -> None:
        self.endpoint = endpoint
        self.queue = FairQueue(max_running_tokens or DEFAULT_RUNNING_TOKENS, self._settled)
        self._limit_is_known = max_running_tokens is not None
        self._client = AsyncRerankClient(endpoint, await_return=False)
        self._connection: InferenceServerClient | None = None
        self._looking_up: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[bool] | None = None
        self._progress_s = float("-inf")
        self._scored_requests: int | None = None

    @property
    def chunk_tokens(self) -> int:
        """The most tokens of one chunk, unless a single pair has more."""
        return max(1, self.queue.limit // CHUNKS_AT_SERVER)

    @asynccontextmanager
    async def turn(self, caller: Hashable, request: Hashable, tokens: int) -> AsyncIterator[None]:
        """Wait for a turn to send a chunk of about `tokens` tokens; the block sends it."""
        self._learn_limit()
        tokens = min(tokens, self.queue.limit)
        await self.queue.take(caller, request, tokens)
        answered = False
        try:
            yield
            answered = True
            self._note_progress()
        except InferenceServerException as error:
            answered = error.status() != "StatusCode.DEADLINE_EXCEEDED"  # the client's own clock, not an answer
            raise
        finally:
            (self.queue.release if answered else self.queue.abandon)(tokens)

    async def is_ready(self) -> bool:
        """Tell whether the server answered lately, makes progress, or answers now.

        A probe can wait behind work, so the server's own count of scored requests is looked at first. A server that
        scores nothing for `STALL_S` seconds and does not answer the probe either is stalled, whatever its load.
        """
        if self._worked_within(FRESH_S) or await self._has_scored_more():
            return True
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask(STALL_S))
        await asyncio.wait((self._probe,), timeout=PROBE_WAIT_S)
        if self._probe.done() and not self._probe.result():
            self._progress_s = float("-inf")
        return self._worked_within(STALL_S)

    async def close(self) -> None:
        """Close the connections."""
        await self.queue.close()
        tasks = [task for task in (self._looking_up, self._probe) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        if self._connection is not None:
            await self._connection.close()

    def _note_progress(self) -> None:
        self._progress_s = time.monotonic()

    def _worked_within(self, seconds: float) -> bool:
        return time.monotonic() - self._progress_s < seconds

    def _connect(self) -> InferenceServerClient:
        # not before the first use, because a channel of grpc.aio belongs to the running event loop
        self._connection = self._connection or InferenceServerClient(self.endpoint)
        return self._connection

    async def _ask(self, timeout_s: float) -> bool:
        """Score one pair; False if the server fails, rather than being slow."""
        try:
            await self._client.rerank("ready?", ["yes"], truncate="END", timeout_s=timeout_s)
        except DeadlineExceeded:
            return True
        except RerankError:
            return False
        self._note_progress()
        return True

    async def _settled(self) -> None:
        # The server works in the order of arrival. Once it answers this, it has nothing older.
        await self._ask(SETTLE_TIMEOUT_S)

    async def _has_scored_more(self) -> bool:
        try:
            answer: Any = await self._connect().get_inference_statistics(RANKER, client_timeout=LOOKUP_TIMEOUT_S)
        except InferenceServerException:
            return False
        scored = sum(int(model.inference_stats.success.count) for model in answer.model_stats)
        before, self._scored_requests = self._scored_requests, scored
        if before is None or scored <= before:
            return False
        self._note_progress()
        return True

    def _learn_limit(self) -> None:
        if not self._limit_is_known and (self._looking_up is None or self._looking_up.done()):
            self._looking_up = asyncio.create_task(self._look_up_limit())

    async def _look_up_limit(self) -> None:
        try:
            answer: Any = await self._connect().get_model_config(RANKER, client_timeout=LOOKUP_TIMEOUT_S)
        except InferenceServerException:
            return
        self.queue.limit = running_tokens_from_config(answer.config)
        self._limit_is_known = True


def running_tokens_from_config(config: Any) -> int:
    """Read how many tokens keep a ranker busy from its ModelConfig; the default if it states no batch limit."""
    parameter = str(config.parameters["max_batch_tokens"].string_value) if config.parameters else ""
    if not parameter.isdecimal() or int(parameter) < 1:
        return DEFAULT_RUNNING_TOKENS
    return int(parameter) if config.backend == "python" else 2 * int(parameter)
