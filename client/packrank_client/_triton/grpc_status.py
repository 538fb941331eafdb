"""The status of a failed gRPC call -> the error that the caller sees."""

from __future__ import annotations

from collections.abc import Sequence

from packrank_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    ServerFault,
    ServerOverloaded,
    ServerUnavailable,
    Unauthorized,
)
from packrank_client.refusals import error_from_refusal, parse_refusal

# Code -> error and the sentence around the server's message; any other code is a ServerFault.
_ERRORS: dict[str, tuple[type[RerankError], str]] = {
    "INVALID_ARGUMENT": (InvalidRequest, "{endpoint} refused the request: {message}"),
    "UNAVAILABLE": (ServerUnavailable, "{endpoint} is unavailable ({message}); try again later."),
    "CANCELLED": (ServerUnavailable, "the call to {endpoint} was cancelled ({message}); try again."),
    "RESOURCE_EXHAUSTED": (ServerOverloaded, "{endpoint} is overloaded ({message}); back off and try again."),
    "DEADLINE_EXCEEDED": (
        DeadlineExceeded,
        "{endpoint} did not answer in time ({message}); raise timeout_s or send fewer passages.",
    ),
    "UNAUTHENTICATED": (Unauthorized, "{endpoint} does not know the caller ({message}); check the headers."),
    "PERMISSION_DENIED": (Unauthorized, "{endpoint} does not allow the call ({message}); check the headers."),
    "NOT_FOUND": (ServerFault, "{endpoint} does not serve the model ({message}); check model and endpoint."),
}
# Triton's answer to a request whose parameter `timeout` ran out in a queue, and the ranker's own.
REQUEST_EXPIRED = "Request timeout expired"
# Triton's answer while it stops, and its models are unloaded already.
_STOPPING = "has no available versions"
_FAULT = (ServerFault, "{endpoint} failed with {code}: {message}")

# Only these codes can carry a refusal: the server's code sends INVALID_ARGUMENT, and an ensemble may lose it.
_CODES_OF_REFUSALS = frozenset({"INVALID_ARGUMENT", "INTERNAL", "UNKNOWN"})


def status_code(status: str | None) -> str:
    """Turn `StatusCode.UNAVAILABLE`, as tritonclient writes it, into `UNAVAILABLE`; no status is `UNKNOWN`."""
    return (status or "UNKNOWN").removeprefix("StatusCode.")


def is_elsewhere(code: str, message: str) -> bool:
    """Tell whether another endpoint may answer: this one is down, or stopping and without its models already."""
    return code in {"UNAVAILABLE", "CANCELLED", "NOT_FOUND"} and REQUEST_EXPIRED not in message


def error_from_status(code: str, message: str, *, endpoint: str, chunk: Sequence[int] = ()) -> RerankError:
    """Map a failed call to an error; `chunk` holds the caller's indexes of the passages in the call."""
    refusal = parse_refusal(message) if code in _CODES_OF_REFUSALS else None
    if refusal:
        return error_from_refusal(refusal, chunk)
    if REQUEST_EXPIRED in message:
        code = "DEADLINE_EXCEEDED"
    elif code == "NOT_FOUND" and _STOPPING in message:
        code = "UNAVAILABLE"
    error_class, sentence = _ERRORS.get(code, _FAULT)
    return error_class(sentence.format(endpoint=endpoint, code=code, message=message.strip() or "no message"))
