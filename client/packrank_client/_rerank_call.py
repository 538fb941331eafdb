"""One rerank call as a state machine without input or output.

A client sends what `next_dispatches` yields, and reports each answer or failure, in any order, until the call is
`done`. So the rules of splitting, failing over and giving up exist once, for threads and asyncio alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from packrank_client._chunks import Chunk, halve_chunk, plan_chunks
from packrank_client._pauses import Pauses
from packrank_client._round_robin import RoundRobin
from packrank_client._triton.grpc_status import error_from_status, is_elsewhere, status_code
from packrank_client._triton.limits import Limits
from packrank_client._triton.tensors import read_results
from packrank_client.deadline import Deadline
from packrank_client.errors import InvalidRequest, ServerUnavailable
from packrank_client.question import Question, estimated_tokens
from packrank_client.refusals import SPLITTABLE_KINDS
from packrank_client.results import RerankResult, ranked


@dataclass(frozen=True, eq=False)
class Dispatch:
    """A gRPC call to make at the endpoint of this index: score `chunk`, or look up the limits if it is None."""

    endpoint: int
    chunk: Chunk | None


class RerankCall:
    """The progress of one call.

    - `limits` is None until known. `read_limits` reads it from the answer to the look-up.
    - `max_chunk_tokens`: cut smaller chunks than the server's limits ask for.
    - `awaits_return`: once every endpoint is unavailable, try all of them again until the deadline.
    """

    def __init__(
        self,
        question: Question,
        deadline: Deadline,
        round_robin: RoundRobin,
        *,
        limits: Limits | None,
        read_limits: Callable[[Any], Limits],
        max_concurrent_chunks: int,
        max_chunk_tokens: int | None = None,
        awaits_return: bool = False,
    ) -> None:
        self.question = question
        self.deadline = deadline
        self.limits = limits
        self._read_limits = read_limits
        self._round_robin = round_robin
        self._max_in_flight = max_concurrent_chunks
        self._tokens = estimated_tokens(question)
        self._max_chunk_tokens = max_chunk_tokens
        self._waiting: deque[Chunk | None] = deque(self._plan(limits) if limits else [None])
        self._in_flight = 0
        self._unavailable: set[int] = set()
        self._pauses = Pauses() if awaits_return else None
        self._results: list[RerankResult] = []

    @property
    def done(self) -> bool:
        """Tell whether every passage has its result."""
        return not self._waiting and not self._in_flight

    @property
    def pause_s(self) -> float:
        """The seconds until the endpoints are tried again; 0 if nothing waits for that."""
        return self._pauses.remaining_s() if self._pauses else 0.0

    def tokens_of(self, dispatch: Dispatch) -> int:
        """Estimate the tokens of a dispatch; 0 for the look-up."""
        return sum(self._tokens[index] for index in dispatch.chunk or ())

    def next_dispatches(self) -> Iterator[Dispatch]:
        """Yield what to send now: nothing during a pause, and nothing beyond the bound on concurrency."""
        if self.pause_s:
            return
        while self._waiting and self._in_flight < self._max_in_flight:
            chunk = self._waiting.popleft()
            self._in_flight += 1
            yield Dispatch(self._round_robin.choose(self._unavailable), chunk)

    def answered(self, dispatch: Dispatch, answer: Any) -> None:
        """Take a chunk's InferResult, or the look-up's ModelConfigResponse. Raises ServerFault."""
        self._in_flight -= 1
        if dispatch.chunk is None:
            self.limits = self._read_limits(answer)
            self._waiting.extend(self._plan(self.limits))
        else:
            self._results.extend(read_results(answer, dispatch.chunk))

    def failed(self, dispatch: Dispatch, status: str | None, message: str | None) -> None:
        """Send the work elsewhere or in smaller parts, or raise the error that ends the call.

        Only what `is_elsewhere` names is tried again, at endpoints that have not failed so during this call.
        """
        self._in_flight -= 1
        chunk = dispatch.chunk
        endpoint = self._round_robin.endpoints[dispatch.endpoint]
        code = status_code(status)
        error = error_from_status(code, message or "", endpoint=endpoint, chunk=chunk or ())
        if is_elsewhere(code, message or ""):
            self._unavailable.add(dispatch.endpoint)
            self._round_robin.cool_down(dispatch.endpoint)
            if len(self._unavailable) < len(self._round_robin.endpoints) or self._pause():
                self._waiting.appendleft(chunk)
                return
            if len(self._unavailable) > 1 and isinstance(error, ServerUnavailable):
                everyone = ", ".join(self._round_robin.endpoints)
                raise ServerUnavailable(f"none of {everyone} is available; the last answer: {error}")
        if isinstance(error, InvalidRequest) and error.kind in SPLITTABLE_KINDS and chunk and len(chunk) > 1:
            self._waiting.extendleft(reversed(halve_chunk(chunk, self._tokens)))
            return
        raise error

    def _plan(self, limits: Limits) -> list[Chunk]:
        tokens = min(limits.max_request_tokens, self._max_chunk_tokens or limits.max_request_tokens)
        return plan_chunks(self._tokens, Limits(limits.max_passages, tokens))

    def _pause(self) -> bool:
        """Begin a pause, after which every endpoint counts as available; False if the deadline comes first."""
        if self._pauses is None or not self._pauses.begin(self.deadline):
            return False
        self._unavailable.clear()
        return True

    def results(self) -> list[RerankResult]:
        """Return the ranking, once the call is done."""
        return ranked(self._results, self.question.top_n)
