"""Everything that can go wrong, in classes named by what the caller can do about it."""

from __future__ import annotations


class RerankError(Exception):
    """Base of all errors of a rerank call; `str()` is a sentence for people."""


class InvalidRequest(RerankError):
    """Fix the input: the same call will be refused again.

    `kind` is the server's name of the problem (`pair_too_long`, `empty_query`, ...) or one of `invalid_type`,
    `invalid_top_n`, `invalid_timeout` and `invalid_argument` (refused without a name).
    `passage_index` is the index of the passage at fault in the caller's list, None when no single one is.
    """

    def __init__(self, message: str, *, kind: str = "invalid_argument", passage_index: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.passage_index = passage_index


class ServerUnavailable(RerankError):
    """Try again later, or name another endpoint: no endpoint took the request."""


class ServerOverloaded(RerankError):
    """Back off, then try again: the server has more work than it accepts."""


class DeadlineExceeded(RerankError):
    """Allow more time or send less: `timeout_s` ran out before the answer was complete."""


class Unauthorized(RerankError):
    """Check the headers: the server does not know the caller, or does not allow the call."""


class ServerFault(RerankError):
    """Report it to whoever runs the server: it failed, or answered something that makes no sense."""
