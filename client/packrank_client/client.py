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

from packrank_client._base import ClientBase
from packrank_client._call import Dispatch, RerankCall
from packrank_client._deadline import Deadline
from packrank_client._limits import TOKENIZER_MODEL
from packrank_client._question import question_from_arguments
from packrank_client.results import RerankResult


class _Cancellable(Protocol):
    """A call under way."""

    def cancel(self) -> None: ...


_TakeReply: TypeAlias = Callable[[Any, InferenceServerException | None], None]
# A signal that comes between Python's last look and the beginning of a wait does not end the wait, so the main thread
# must not wait for long if Ctrl-C is to work.
SIGNAL_CHECK_S = 0.5

# The call, once it is started; None when it could not be.
_Start: TypeAlias = "Future[_Cancellable | None]"


class _Connection(InferenceServerClient):  # type: ignore[misc]
    """tritonclient's client, whose calls are all started by one thread of its own.

    Two reasons. async_infer keeps the call in an attribute of the client until it returns it, so of two threads
    inside it one could be given the other's call to cancel. And a KeyboardInterrupt, which only the main thread
    gets, inside the start of a gRPC call leaves a channel that can never be closed.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="rerank")
        super().__init__(*arguments, **options)

    def start(self, reply: _TakeReply, **arguments: Any) -> _Start:
        """Start async_infer; `reply` gets its `result` or `error`, by these names."""

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
    """What came of a dispatch: an answer or an error."""

    dispatch: Dispatch
    answer: Any
    error: InferenceServerException | None


def _next_reply(replies: SimpleQueue[_Reply], deadline: Deadline) -> _Reply:
    """Raises DeadlineExceeded."""
    while True:
        with suppress(Empty):
            return replies.get(timeout=min(deadline.remaining_s(), SIGNAL_CHECK_S))


def _cancel(start: _Start) -> None:
    call = start.result()
    if call is not None:
        call.cancel()


class RerankClient(ClientBase[_Connection]):
    """Scores passages against a query; one client can be shared by any number of threads."""

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

        `top_n` keeps the best. `truncate` is NONE (a pair over the model's limit is refused) or END (the
        passage's tail is cut). `max_passage_tokens` cuts each passage to so many tokens first, whatever
        `truncate` says. `timeout_s` bounds the whole call, all its requests included; None: the
        client's default. On expiry or any error, what is still under way is cancelled.

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
                reply = _next_reply(replies, call.deadline)
                outstanding.pop(reply.dispatch, None)
                if reply.error is None:
                    call.answered(reply.dispatch, reply.answer)
                else:
                    call.failed(reply.dispatch, reply.error.status(), reply.error.message())
        finally:
            for start in outstanding.values():
                start.add_done_callback(_cancel)
        self._limits = call.limits
        return call.results()

    def _send(self, call: RerankCall, dispatch: Dispatch, replies: SimpleQueue[_Reply]) -> _Start | None:
        """Send a dispatch, whose reply goes to the queue; returns what to cancel, None when it is over."""
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
        """Whether at least one endpoint serves the model now. Raises Unauthorized."""
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
        """Close the connections; calls under way in other threads end with ServerUnavailable."""
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
