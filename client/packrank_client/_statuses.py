"""The server's answer to a failed gRPC call -> the error that the caller sees."""

from __future__ import annotations

import re
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

# What the server's code refuses: its messages contain `kind: sentence`.
KINDS = (
    "invalid_batch",
    "invalid_utf8",
    "empty_query",
    "no_passages",
    "too_many_passages",
    "too_many_tokens",
    "query_too_long",
    "pair_too_long",
    "invalid_truncate",
    "invalid_max_passage_tokens",
)
# Cured by sending the same passages in smaller requests.
SPLITTABLE_KINDS = frozenset({"too_many_passages", "too_many_tokens"})

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
_FAULT = (ServerFault, "{endpoint} failed with {code}: {message}")

# A kind counts with these codes only: INVALID_ARGUMENT is what the server's code sends, the others are what a
# refusal becomes when its code gets lost on its way through the ensemble.
_CODES_OF_REFUSALS = frozenset({"INVALID_ARGUMENT", "INTERNAL", "UNKNOWN"})
_REFUSAL = re.compile(rf"\b({'|'.join(KINDS)}): (.+)", re.DOTALL)
_PASSAGE = re.compile(r"\bpassages\[(\d+)\]")


def status_code(status: str | None) -> str:
    """`StatusCode.UNAVAILABLE`, as tritonclient writes it -> `UNAVAILABLE`; no status -> `UNKNOWN`."""
    return (status or "UNKNOWN").removeprefix("StatusCode.")


def error_from_status(code: str, message: str, *, endpoint: str, chunk: Sequence[int] = ()) -> RerankError:
    """Map a failed call that carried the passages `chunk` (their indexes in the caller's list) to an error.

    `passages[i]` in the message of a refusal is renumbered to the caller's index.
    """
    refusal = _REFUSAL.search(message) if code in _CODES_OF_REFUSALS else None
    if refusal:
        kind, sentence = refusal.groups()
        sentence, passage_index = _renumbered(sentence, chunk)
        return InvalidRequest(sentence, kind=kind, passage_index=passage_index)
    error_class, sentence = _ERRORS.get(code, _FAULT)
    return error_class(sentence.format(endpoint=endpoint, code=code, message=message.strip() or "no message"))


def _renumbered(sentence: str, chunk: Sequence[int]) -> tuple[str, int | None]:
    """The sentence with the caller's indexes, and the first of them; an index outside the chunk stays."""
    named: list[int] = []

    def renumber(match: re.Match[str]) -> str:
        place = int(match[1])
        if place >= len(chunk):
            return match[0]
        named.append(chunk[place])
        return f"passages[{chunk[place]}]"

    sentence = _PASSAGE.sub(renumber, sentence)
    if not named and len(chunk) == 1:
        named.append(chunk[0])
    return sentence, named[0] if named else None
