"""One rerank call as a state machine without input or output.

A client sends what `next_dispatches` names and reports each answer or failure, in any order, until the call
is `done`. So the rules of splitting, failing over and giving up exist once, for threads and asyncio alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from packrank_client._chunks import Chunk, estimated_tokens, halve_chunk, plan_chunks
from packrank_client._deadline import Deadline
from packrank_client._endpoints import EndpointRotation
from packrank_client._limits import Limits
from packrank_client._question import Question
from packrank_client._statuses import SPLITTABLE_KINDS, error_from_status, status_code
from packrank_client._tensors import read_results
from packrank_client.errors import InvalidRequest, ServerUnavailable
from packrank_client.results import RerankResult, ranked


@dataclass(frozen=True, eq=False)
class Dispatch:
    """A gRPC call to make: score `chunk` at the endpoint of this index; None: look up the limits."""

    endpoint: int
    chunk: Chunk | None


class RerankCall:
    """The progress of one call.

    `limits` is None until known; `read_limits` reads it from the answer to the dispatch that looks it up.
    """

    def __init__(
        self,
        question: Question,
        deadline: Deadline,
        rotation: EndpointRotation,
        *,
        limits: Limits | None,
        read_limits: Callable[[Any], Limits],
        max_concurrent_chunks: int,
    ) -> None:
        self.question = question
        self.deadline = deadline
        self.limits = limits
        self._read_limits = read_limits
        self._rotation = rotation
        self._max_in_flight = max_concurrent_chunks
        self._tokens = estimated_tokens(question)
        self._waiting: deque[Chunk | None] = deque(plan_chunks(self._tokens, limits) if limits else [None])
        self._in_flight = 0
        self._unavailable: set[int] = set()
        self._results: list[RerankResult] = []

    @property
    def done(self) -> bool:
        """Whether every passage has its result."""
        return not self._waiting and not self._in_flight

    def next_dispatches(self) -> Iterator[Dispatch]:
        """What to send now, within the bound on concurrency."""
        while self._waiting and self._in_flight < self._max_in_flight:
            chunk = self._waiting.popleft()
            self._in_flight += 1
            yield Dispatch(self._rotation.choose(self._unavailable), chunk)

    def answered(self, dispatch: Dispatch, answer: Any) -> None:
        """Take the InferResult of a chunk, or the ModelConfigResponse of the look-up. Raises ServerFault."""
        self._in_flight -= 1
        if dispatch.chunk is None:
            self.limits = self._read_limits(answer)
            self._waiting.extend(plan_chunks(self._tokens, self.limits))
        else:
            self._results.extend(read_results(answer, dispatch.chunk))

    def failed(self, dispatch: Dispatch, status: str | None, message: str | None) -> None:
        """Send the work elsewhere or in smaller parts, or raise the error that ends the call.

        Only UNAVAILABLE is tried again, at the endpoints that have not said so in this call.
        """
        self._in_flight -= 1
        chunk = dispatch.chunk
        endpoint = self._rotation.endpoints[dispatch.endpoint]
        code = status_code(status)
        error = error_from_status(code, message or "", endpoint=endpoint, chunk=chunk or ())
        if code == "UNAVAILABLE":
            self._unavailable.add(dispatch.endpoint)
            self._rotation.cool_down(dispatch.endpoint)
            if len(self._unavailable) < len(self._rotation.endpoints):
                self._waiting.appendleft(chunk)
                return
            if len(self._unavailable) > 1:
                everyone = ", ".join(self._rotation.endpoints)
                raise ServerUnavailable(f"none of {everyone} is available; the last answer: {error}")
        if isinstance(error, InvalidRequest) and error.kind in SPLITTABLE_KINDS and chunk and len(chunk) > 1:
            self._waiting.extendleft(reversed(halve_chunk(chunk, self._tokens)))
            return
        raise error

    def results(self) -> list[RerankResult]:
        """The ranking, once the call is done."""
        return ranked(self._results, self.question.top_n)
