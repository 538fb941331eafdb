"""The client for threaded code."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from packrank_client.base import ClientBase
from packrank_client.call import Dispatch, RerankCall
from packrank_client.limits import TOKENIZER_MODEL
from packrank_client.results import RerankResult


class _Cancellable(Protocol):
    """A call under way."""

    def cancel(self) -> None: ...


class _Connection(InferenceServerClient):  # type: ignore[misc]
    """tritonclient's client, with async_infer safe to call from several threads.

    It keeps the call in an attribute of the client between starting and returning it: of two threads inside
    it, one could be given the other's call to cancel.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._starting = threading.Lock()
        super().__init__(*arguments, **options)

    def async_infer(self, *arguments: Any, **options: Any) -> _Cancellable:
        with self._starting:
            call: _Cancellable = super().async_infer(*arguments, **options)
        return call


class _Reply(NamedTuple):
    """What came of a dispatch: an answer or an error."""

    dispatch: Dispatch
    answer: Any
    error: InferenceServerException | None


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
        timeout_s: float | None = None,
    ) -> list[RerankResult]:
        """Score every passage; highest logit first, equal logits in the order of `passages`.

        `top_n` keeps the best. `truncate` is NONE (a pair over the model's limit is refused) or END (the
        passage's tail is cut). `timeout_s` bounds the whole call, all its requests included; None: the
        client's default. On expiry or any error, what is still under way is cancelled.

        Raises InvalidRequest, ServerUnavailable, ServerOverloaded, DeadlineExceeded, Unauthorized or
        ServerFault.
        """
        call = self._begin(query, passages, top_n, truncate, timeout_s)
        replies: SimpleQueue[_Reply] = SimpleQueue()
        outstanding: dict[Dispatch, _Cancellable] = {}
        try:
            while not call.done:
                for dispatch in call.next_dispatches():
                    context = self._send(call, dispatch, replies)
                    if context is not None:
                        outstanding[dispatch] = context
                try:
                    reply = replies.get(timeout=call.deadline.remaining_s())
                except Empty:
                    raise call.deadline.exceeded() from None
                outstanding.pop(reply.dispatch, None)
                if reply.error is None:
                    call.answered(reply.dispatch, reply.answer)
                else:
                    call.failed(reply.dispatch, reply.error.status(), reply.error.message())
        finally:
            for context in outstanding.values():
                context.cancel()
        self._limits = call.limits
        return call.results()

    def _send(
        self, call: RerankCall, dispatch: Dispatch, replies: SimpleQueue[_Reply]
    ) -> _Cancellable | None:
        """Start a dispatch, whose reply goes to the queue; returns what cancels it, None when it is over."""
        connection = self._connection(dispatch.endpoint)
        try:
            if dispatch.chunk is not None:
                return connection.async_infer(
                    callback=lambda result, error: replies.put(_Reply(dispatch, result, error)),
                    **self._infer_arguments(call, dispatch.chunk),
                )
            config = connection.get_model_config(
                TOKENIZER_MODEL, **self._call_options(call.deadline.remaining_s())
            )
            replies.put(_Reply(dispatch, config, None))
        except InferenceServerException as error:
            replies.put(_Reply(dispatch, None, error))
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
