"""The client for threaded code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from packrank_client._client_base import ClientBase
from packrank_client._rerank_call import Dispatch, RerankCall
from packrank_client._triton.limits import TOKENIZER_MODEL
from packrank_client.question import question_from_arguments
from packrank_client.results import RerankResult


class _Cancellable(Protocol):
    """A gRPC call in progress."""

    def cancel(self) -> None: ...


_TakeReply: TypeAlias = Callable[[Any, InferenceServerException | None], None]
# A signal that arrives just before a wait begins does not end that wait. Waits are short, so that Ctrl-C works.
SIGNAL_CHECK_S = 0.5

# The call, once it has started; None if it could not start.
_Start: TypeAlias = "Future[_Cancellable | None]"


class _Connection(InferenceServerClient):  # type: ignore[misc]
    """tritonclient's client with one thread that starts all calls.

    This has two reasons. async_infer keeps a new call in an attribute of the client, so two threads could swap their
    calls and cancel the wrong one. And a KeyboardInterrupt, which hits the main thread only, could leave a channel
    that never closes if it interrupts the start of a gRPC call.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="rerank")
        super().__init__(*arguments, **options)

    def start(self, reply: _TakeReply, **arguments: Any) -> _Start:
        """Start async_infer, which calls `reply` with the keywords `result` and `error`."""

        def start() -> _Cancellable | None:
            try:
                call: _Cancellable = self.async_infer(callback=reply, **arguments)
            except InferenceServerException as error:
                reply(None, error)
                return None
            return call

        return self._starter.submit(start)

    def close(self) -> None:
        super().close()
        self._starter.shutdown(wait=False)


class _Reply(NamedTuple):
    """A dispatch with its answer or its error."""

    dispatch: Dispatch
    answer: Any
    error: InferenceServerException | None


def _next_reply(replies: SimpleQueue[_Reply], call: RerankCall) -> _Reply | None:
    """Wait for the next reply; None once a pause of the call is over. Raises DeadlineExceeded."""
    pausing = call.pause_s > 0
    while True:
        with suppress(Empty):
            wait_s = min(call.deadline.remaining_s(), SIGNAL_CHECK_S)
            return replies.get(timeout=min(wait_s, call.pause_s) if pausing else wait_s)
        if pausing and not call.pause_s:
            return None


def _cancel(start: _Start) -> None:
    call = start.result()
    if call is not None:
        call.cancel()


class RerankClient(ClientBase[_Connection]):
    """Scores passages against a query. Any number of threads can share one client."""

    _connect = _Connection

    def rerank(
        self,
        query: str,
        passages: Sequence[str],
        *,
        top_n: int | None = None,
        truncate: str = "NONE",
        max_passage_tokens: int | None = None,
        timeout_s: float | None = None,
    ) -> list[RerankResult]:
        """Score every passage; highest logit first, equal logits in the order of `passages`.

        - `top_n`: keep only the best.
        - `truncate`: NONE refuses a pair over the model's limit, END cuts the passage's tail, LONGEST_FIRST cuts the
          longer of query and passage.
        - `max_passage_tokens`: cut each passage to this many tokens first, for either value of `truncate`.
        - `timeout_s`: deadline of the whole call, all its requests included; None uses the client's default.

        On expiry or any error, the call cancels its remaining requests.

        Raises InvalidRequest, ServerUnavailable, ServerOverloaded, DeadlineExceeded, Unauthorized or
        ServerFault.
        """
        question = question_from_arguments(
            query, passages, top_n=top_n, truncate=truncate, max_passage_tokens=max_passage_tokens
        )
        call = self._begin(question, timeout_s)
        replies: SimpleQueue[_Reply] = SimpleQueue()
        outstanding: dict[Dispatch, _Start] = {}
        try:
            while not call.done:
                for dispatch in call.next_dispatches():
                    start = self._send(call, dispatch, replies)
                    if start is not None:
                        outstanding[dispatch] = start
                reply = _next_reply(replies, call)
                if reply is None:
                    continue
                outstanding.pop(reply.dispatch, None)
                if reply.error is None:
                    call.answered(reply.dispatch, reply.answer)
                else:
                    self._failed(call, reply.dispatch, reply.error.status(), reply.error.message())
        finally:
            for start in outstanding.values():
                start.add_done_callback(_cancel)
        return self._finish(call)

    def _send(self, call: RerankCall, dispatch: Dispatch, replies: SimpleQueue[_Reply]) -> _Start | None:
        """Send a dispatch whose reply goes to the queue; return its call, or None if the reply is already there."""
        connection = self._connection(dispatch.endpoint)

        def reply(result: Any, error: InferenceServerException | None) -> None:
            replies.put(_Reply(dispatch, result, error))

        if dispatch.chunk is not None:
            return connection.start(reply, **self._infer_arguments(call, dispatch.chunk))
        options = self._call_options(call.deadline.remaining_s())
        try:
            reply(connection.get_model_config(TOKENIZER_MODEL, **options), None)
        except InferenceServerException as error:
            reply(None, error)
        return None

    def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Tell whether at least one endpoint serves the model now. Raises Unauthorized."""
        deadline = self._deadline(timeout_s)
        for endpoint in range(len(self._endpoints)):
            options = self._readiness_options(deadline, endpoint)
            try:
                if self._connection(endpoint).is_model_ready(self._model, **options):
                    return True
            except InferenceServerException as error:
                self._check_authorized(error, endpoint)
        return False

    def close(self) -> None:
        """Close the connections. Calls still running in other threads end with ServerUnavailable."""
        for connection in self._disconnect():
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
