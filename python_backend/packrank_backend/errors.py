"""Everything a request can be refused for: one table, kind -> gRPC code and HTTP status.

On the wire a refusal is one line, `kind {facts}: sentence`, with the facts as JSON:

    pair_too_long {"passage":3,"tokens":65,"limit":64}: passages[3] has 65 tokens ...

Programs read kind and facts; the sentence is for people.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import NamedTuple


class Refusal(NamedTuple):
    """How a kind of error is reported: the name of its gRPC status code, and an HTTP status."""

    grpc_code: str
    http_status: int


class ErrorKind(Enum):
    """Why a request is refused. The values are part of the wire contract."""

    INVALID_BATCH = "invalid_batch"
    INVALID_UTF8 = "invalid_utf8"
    EMPTY_QUERY = "empty_query"
    NO_PASSAGES = "no_passages"
    TOO_MANY_PASSAGES = "too_many_passages"
    TOO_MANY_TOKENS = "too_many_tokens"
    QUERY_TOO_LONG = "query_too_long"
    PAIR_TOO_LONG = "pair_too_long"
    INVALID_TRUNCATE = "invalid_truncate"
    INVALID_MAX_PASSAGE_TOKENS = "invalid_max_passage_tokens"
    INVALID_MAX_TOKENS = "invalid_max_tokens"
    INVALID_PACKING = "invalid_packing"
    DEADLINE_EXCEEDED = "deadline_exceeded"


# The caller can fix every one of these, hence INVALID_ARGUMENT. NIM answers 422 to input over a limit.
REFUSALS = {
    ErrorKind.INVALID_BATCH: Refusal("INVALID_ARGUMENT", 400),
    ErrorKind.INVALID_UTF8: Refusal("INVALID_ARGUMENT", 400),
    ErrorKind.EMPTY_QUERY: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.NO_PASSAGES: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.TOO_MANY_PASSAGES: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.TOO_MANY_TOKENS: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.QUERY_TOO_LONG: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.PAIR_TOO_LONG: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.INVALID_TRUNCATE: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.INVALID_MAX_PASSAGE_TOKENS: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.INVALID_MAX_TOKENS: Refusal("INVALID_ARGUMENT", 422),
    ErrorKind.INVALID_PACKING: Refusal("INVALID_ARGUMENT", 400),
    # Triton's backend API has no DEADLINE_EXCEEDED. Its own queues answer UNAVAILABLE, too.
    ErrorKind.DEADLINE_EXCEEDED: Refusal("UNAVAILABLE", 504),
}


def expired_request() -> InvalidRequest:
    """Make the error of a request whose deadline has passed. It begins as Triton's own does."""
    sentence = "Request timeout expired before the request was done; allow more time or send less."
    return InvalidRequest(ErrorKind.DEADLINE_EXCEEDED, sentence)


class InvalidRequest(Exception):
    """A request that cannot be answered; `str()` is its line on the wire.

    `facts` are the numbers that a caller may act on. `passage` is the index of the passage at fault.
    """

    def __init__(self, kind: ErrorKind, sentence: str, **facts: int) -> None:
        super().__init__(f"{kind.value} {json.dumps(facts, separators=(',', ':'))}: {sentence}")
        self.kind = kind
        self.facts = facts
