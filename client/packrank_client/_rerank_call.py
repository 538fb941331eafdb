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
from packrank_client._grpc_status import error_from_status, status_code
from packrank_client._limits import Limits
from packrank_client._round_robin import RoundRobin
from packrank_client._tensors import read_results
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

    `limits` is None until known. `read_limits` reads it from the answer to the look-up.
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
    ) -> None:
        self.question = question
        self.deadline = deadline
        self.limits = limits
        self._read_limits = read_limits
        self._round_robin = round_robin
        self._max_in_flight = max_concurrent_chunks
        self._tokens = estimated_tokens(question)
        self._waiting: deque[Chunk | None] = deque(plan_chunks(self._tokens, limits) if limits else [None])
        self._in_flight = 0
        self._unavailable: set[int] = set()
        self._results: list[RerankResult] = []

    @property
    def done(self) -> bool:
        """Tell whether every passage has its result."""
        return not self._waiting and not self._in_flight

    def next_dispatches(self) -> Iterator[Dispatch]:
        """Yield what to send now, within the bound on concurrency."""
        while self._waiting and self._in_flight < self._max_in_flight:
            chunk = self._waiting.popleft()
            self._in_flight += 1
            yield Dispatch(self._round_robin.choose(self._unavailable), chunk)

    def answered(self, dispatch: Dispatch, answer: Any) -> None:
        """Take a chunk's InferResult, or the look-up's ModelConfigResponse. Raises ServerFault."""
        self._in_flight -= 1
        if dispatch.chunk is None:
            self.limits = self._read_limits(answer)
            self._waiting.extend(plan_chunks(self._tokens, self.limits))
        else:
            self._results.extend(read_results(answer, dispatch.chunk))

    def failed(self, dispatch: Dispatch, status: str | None, message: str | None) -> None:
        """Send the work elsewhere or in smaller parts, or raise the error that ends the call.

        Only UNAVAILABLE is tried again, at endpoints that have not answered it during this call.
        """
        self._in_flight -= 1
        chunk = dispatch.chunk
        endpoint = self._round_robin.endpoints[dispatch.endpoint]
        code = status_code(status)
        error = error_from_status(code, message or "", endpoint=endpoint, chunk=chunk or ())
        if code == "UNAVAILABLE":
            self._unavailable.add(dispatch.endpoint)
            self._round_robin.cool_down(dispatch.endpoint)
            if len(self._unavailable) < len(self._round_robin.endpoints):
                self._waiting.appendleft(chunk)
                return
            if len(self._unavailable) > 1:
                everyone = ", ".join(self._round_robin.endpoints)
                raise ServerUnavailable(f"none of {everyone} is available; the last answer: {error}")
        if isinstance(error, InvalidRequest) and error.kind in SPLITTABLE_KINDS and chunk and len(chunk) > 1:
            self._waiting.extendleft(reversed(halve_chunk(chunk, self._tokens)))
            return
        raise error

    def results(self) -> list[RerankResult]:
        """Return the ranking, once the call is done."""
        return ranked(self._results, self.question.top_n)
