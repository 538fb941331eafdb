"""Everything that can go wrong, in classes named by what the caller can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RerankError(Exception):
    """Base of all errors of a rerank call; `str()` is a sentence for people."""


class InvalidRequest(RerankError):
    """Fix the input: the same call will be refused again.

    - `kind`: the server's name of the problem (`pair_too_long`, `empty_query`, ...). The client adds `invalid_type`,
      `invalid_top_n` and `invalid_timeout`, and `invalid_argument` for a refusal without a name.
    - `facts`: the numbers in the sentence, such as `{"passage": 3, "tokens": 65, "limit": 64}`.
    - `passage_index`: the passage at fault in the caller's list, or None.
    """

    def __init__(self, message: str, *, kind: str = "invalid_argument", facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.facts = dict(facts or {})

    @property
    def passage_index(self) -> int | None:
        """The index of the passage at fault, in the caller's list; None if no single passage is."""
        index: int | None = self.facts.get("passage")
        return index


class ServerUnavailable(RerankError):
    """Try again later, or name another endpoint: no endpoint took the request."""


class ServerOverloaded(RerankError):
    """Back off, then try again: the server has more work than it accepts."""


class DeadlineExceeded(RerankError):
    """Allow more time or send less: `timeout_s` ran out before the answer was complete."""


class Unauthorized(RerankError):
    """Check the headers: the server does not know the caller, or does not allow the call."""


class ServerFault(RerankError):
    """Report it to the server's operator: the server failed, or its answer makes no sense."""
