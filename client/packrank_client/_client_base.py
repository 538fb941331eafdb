"""What the two clients share: settings, connections, and the beginning of every call."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from tritonclient.utils import InferenceServerException

from packrank_client._chunks import Chunk
from packrank_client._rerank_call import Dispatch, RerankCall
from packrank_client._round_robin import RoundRobin
from packrank_client._triton.grpc_status import error_from_status, status_code
from packrank_client._triton.limits import Limits, limits_from_config
from packrank_client._triton.tensors import request_inputs
from packrank_client._triton.tls import TLS, channel_credentials
from packrank_client.deadline import Deadline, is_timeout
from packrank_client.errors import Unauthorized
from packrank_client.question import Question
from packrank_client.results import RerankResult

Connection = TypeVar("Connection")

_INT32_MAX = 2**31 - 1
# Triton's parameter `timeout` has 64 bits.
_LONGEST_TIMEOUT_S = 1e9
_CHANNEL_OPTIONS = [
    # The server's limits bound requests, not gRPC's default of 4 MB.
    ("grpc.max_send_message_length", _INT32_MAX),
    ("grpc.max_receive_message_length", _INT32_MAX),
    # Despite its name this also limits connecting, after which the endpoint is UNAVAILABLE: gRPC's 20 s would use up
    # most deadlines before another endpoint is tried.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # With gRPC's 120 s a server could be back for two minutes before the client notices.
    ("grpc.max_reconnect_backoff_ms", 5_000),
]
# Header-Name and ASCII-Value of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
_HEADER_NAME = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
_HEADER_VALUE = re.compile(r"[ -~]*")


class ClientBase(Generic[Connection]):
    """A client without its transport, which is tritonclient's class `_connect`."""

    _connect: Callable[..., Connection]

    def __init__(
        self,
        endpoints: str | Sequence[str] = "localhost:8001",
        *,
        model: str = "reranker",
        headers: Mapping[str, str] | None = None,
        tls: TLS | None = None,
        timeout_s: float = 30.0,
        max_passages: int | None = None,
        max_request_tokens: int | None = None,
        max_concurrent_chunks: int = 8,
        await_return: bool = True,
    ) -> None:
        """Nothing is sent before the first call.

        - `endpoints`: `host:port` of one or several servers of the same model, used round robin.
        - `model`: the ensemble's name.
        - `headers`: sent with every call, such as `{"authorization": "Bearer ..."}`.
        - `tls`: certificates for an encrypted connection; None for plain text.
        - `timeout_s`: default deadline of a call, in seconds.
        - `max_passages`, `max_request_tokens`: limits of one request; None asks the server, once.
        - `max_concurrent_chunks`: requests of one call in flight at the same time.
        - `await_return`: once a server has answered this client, and later none does, try again until the deadline
          instead of raising ServerUnavailable at once. So a batch survives a restart of the server.

        Raises ValueError for settings that cannot work, and OSError for a TLS file that cannot be read.
        """
        self._endpoints = (endpoints,) if isinstance(endpoints, str) else tuple(endpoints)
        _check_endpoints(self._endpoints)
        for name, value in (("max_passages", max_passages), ("max_request_tokens", max_request_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give at least 1, or None to ask the server.")
        if max_concurrent_chunks < 1:
            raise ValueError(f"max_concurrent_chunks is {max_concurrent_chunks}; give at least 1.")
        if not is_timeout(timeout_s):
            raise ValueError(f"timeout_s is {timeout_s!r}; give a number of seconds above 0.")
        self._model = model
        self._headers = _checked_headers(headers or {})
        self._credentials = None if tls is None else channel_credentials(tls)
        self._timeout_s = timeout_s
        self._limits = Limits(max_passages, max_request_tokens) if max_passages and max_request_tokens else None
        self._read_limits: Callable[[Any], Limits] = partial(
            limits_from_config, max_passages=max_passages, max_request_tokens=max_request_tokens
        )
        self._max_concurrent_chunks = max_concurrent_chunks
        self._await_return = await_return
        self._was_answered = False
        self._round_robin = RoundRobin(self._endpoints)
        self._lock = threading.Lock()
        self._connections: list[Connection] | None = None
        self._closed = False

    def _connection(self, endpoint: int) -> Connection:
        """Connect at first use: a channel of grpc.aio belongs to the event loop that runs when it is made."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed; make a new one.")
            if self._connections is None:
                options = {"creds": self._credentials, "channel_args": _CHANNEL_OPTIONS}
                self._connections = [self._connect(address, **options) for address in self._endpoints]
            return self._connections[endpoint]

    def _disconnect(self) -> list[Connection]:
        """Refuse further calls, and return the connections to close."""
        with self._lock:
            self._closed = True
            connections, self._connections = self._connections or [], None
            return connections

    def _begin(self, question: Question, timeout_s: float | None, max_chunk_tokens: int | None = None) -> RerankCall:
        return RerankCall(
            question,
            self._deadline(timeout_s),
            self._round_robin,
            limits=self._limits,
            read_limits=self._read_limits,
            max_concurrent_chunks=self._max_concurrent_chunks,
            max_chunk_tokens=max_chunk_tokens,
            awaits_return=self._await_return and self._was_answered,
        )

    def _failed(self, call: RerankCall, dispatch: Dispatch, status: str | None, message: str | None) -> None:
        """Hand a failure to the call, unless this client was closed: then there is nowhere to try again."""
        if self._closed:
            endpoint = self._endpoints[dispatch.endpoint]
            raise error_from_status(status_code(status), message or "", endpoint=endpoint)
        call.failed(dispatch, status, message)

    def _finish(self, call: RerankCall) -> list[RerankResult]:
        self._limits = call.limits
        self._was_answered = True
        return call.results()

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline(self._timeout_s if timeout_s is None else timeout_s)

    def _infer_arguments(
        self, call: RerankCall, chunk: Chunk, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        remaining_s = call.deadline.remaining_s()
        return {
            "model_name": self._model,
            "inputs": request_inputs(call.question, chunk),
            "parameters": call.question.parameters,
            # in microseconds: the server drops what it cannot begin or finish in time
            "timeout": max(1, int(min(remaining_s, _LONGEST_TIMEOUT_S) * 1e6)),
            **self._call_options(remaining_s, headers),
        }

    def _call_options(self, timeout_s: float, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        # a copy: tritonclient hands the mapping to plugins
        return {"headers": self._headers | dict(headers or {}), "client_timeout": timeout_s}

    def _readiness_options(self, deadline: Deadline, endpoint: int) -> dict[str, Any]:
        """Give each endpoint an even share of the time left, so that a silent one leaves time for the others."""
        return self._call_options(deadline.remaining_s() / (len(self._endpoints) - endpoint))

    def _check_authorized(self, error: InferenceServerException, endpoint: int) -> None:
        """Raise Unauthorized if that is the error; any other means that the endpoint is not ready."""
        code = status_code(error.status())
        mapped = error_from_status(code, error.message() or "", endpoint=self._endpoints[endpoint])
        if isinstance(mapped, Unauthorized):
            raise mapped


def _check_endpoints(endpoints: Sequence[str]) -> None:
    if not endpoints:
        raise ValueError("endpoints is empty; give at least one host:port.")
    for endpoint in endpoints:
        if not endpoint or endpoint.startswith(("http://", "https://", "grpc://", "grpcs://")):
            raise ValueError(f"endpoint {endpoint!r} is not a gRPC address; write host:port, and tls= to encrypt.")


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower-case the names, as gRPC wants, and refuse what gRPC would, without showing a secret value."""
    lowered = {name.lower(): value for name, value in headers.items()}
    for name, value in lowered.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"header {name!r} is not a name that gRPC can send; use letters, digits, '-', '_', '.'.")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of header {name!r} is not printable ASCII; remove other characters.")
    return lowered
