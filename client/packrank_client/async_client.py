"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self, TypeAlias

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from packrank_client._client_base import ClientBase
from packrank_client._rerank_call import Dispatch, RerankCall
from packrank_client._triton.limits import TOKENIZER_MODEL
from packrank_client.question import Question, question_from_arguments
from packrank_client.results import RerankResult

# (endpoint, pairs) -> a context entered around one gRPC call; pairs is 0 for the look-up of the limits. It yields extra
# headers for that call, in lower case, as gRPC wants them.
AroundCall: TypeAlias = Callable[[str, int], AbstractContextManager[Mapping[str, str]]]

# (endpoint, estimated tokens) -> a context entered before a chunk is sent, and left once it is answered or given up.
Turn: TypeAlias = Callable[[str, int], AbstractAsyncContextManager[None]]


def _ignore(_answer: Any) -> None:
    """Do nothing: the default of `on_answer`."""


class AsyncRerankClient(ClientBase[InferenceServerClient]):
    """Scores passages against a query. Any number of tasks of one event loop can share one client."""

    _connect = InferenceServerClient

    async def rerank(
        self,
        query: str,
        passages: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: str = "NONE",
        max_passage_tokens: int | None = None,
        timeout_s: float | None = None,
    ) -> list[RerankResult]:
        """Score every passage, like `RerankClient.rerank`. Cancelling the task cancels its requests."""
        question = question_from_arguments(
            query, passages, top_n=top_n, truncate=truncate, max_passage_tokens=max_passage_tokens
        )
        return await self.rerank_question(question, timeout_s=timeout_s)

    async def rerank_question(
        self,
        question: Question,
        *,
        timeout_s: float | None = None,
        around_call: AroundCall | None = None,
        on_answer: Callable[[Any], None] = _ignore,
        turn: Turn | None = None,
        max_chunk_tokens: int | None = None,
    ) -> list[RerankResult]:
        """Score a question whose arguments are already checked, like `rerank`.

        `around_call` wraps each gRPC call, and `on_answer` gets each InferResult. The gateway traces calls with them.
        A chunk waits for its `turn` before it is sent; `max_chunk_tokens` cuts the question into smaller chunks than
        the server's limits ask for.
        """
        call = self._begin(question, timeout_s, max_chunk_tokens)
        outstanding: dict[asyncio.Task[Any], Dispatch] = {}
        try:
            while not call.done:
                for dispatch in call.next_dispatches():
                    outstanding[asyncio.create_task(self._send(call, dispatch, around_call, turn))] = dispatch
                if not outstanding:
                    await asyncio.sleep(call.pause_s)
                    continue
                finished, _ = await asyncio.wait(
                    outstanding, timeout=call.deadline.remaining_s(), return_when=asyncio.FIRST_COMPLETED
                )
                if not finished:
                    raise call.deadline.exceeded()
                for task in finished:
                    dispatch = outstanding.pop(task)
                    try:
                        answer = task.result()
                        call.answered(dispatch, answer)
                        if dispatch.chunk is not None:
                            on_answer(answer)
                    except InferenceServerException as error:
                        self._failed(call, dispatch, error.status(), error.message())
                    except asyncio.CancelledError:  # the channel was closed by another task
                        self._failed(call, dispatch, "StatusCode.CANCELLED", "the client was closed")
        finally:
            for task in outstanding:
                task.cancel()
            await asyncio.gather(*outstanding, return_exceptions=True)
        return self._finish(call)

    async def _send(
        self, call: RerankCall, dispatch: Dispatch, around_call: AroundCall | None, turn: Turn | None
    ) -> Any:
        connection, chunk = self._connection(dispatch.endpoint), dispatch.chunk
        endpoint = self._endpoints[dispatch.endpoint]
        async with turn(endpoint, call.tokens_of(dispatch)) if turn and chunk else nullcontext():
            with around_call(endpoint, len(chunk or ())) if around_call else nullcontext({}) as headers:
                if chunk is None:
                    options = self._call_options(call.deadline.remaining_s(), headers)
                    return await connection.get_model_config(TOKENIZER_MODEL, **options)
                return await connection.infer(**self._infer_arguments(call, chunk, headers))

    async def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Tell whether at least one endpoint serves the model now. Raises Unauthorized."""
        deadline = self._deadline(timeout_s)
        for endpoint in range(len(self._endpoints)):
            options = self._readiness_options(deadline, endpoint)
            try:
                if await self._connection(endpoint).is_model_ready(self._model, **options):
                    return True
            except InferenceServerException as error:
                self._check_authorized(error, endpoint)
        return False

    async def close(self) -> None:
        """Close the connections. Calls still running in other tasks end with ServerUnavailable."""
        for connection in self._disconnect():
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
