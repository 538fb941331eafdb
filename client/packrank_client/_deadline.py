"""One deadline for a whole call, whatever the call consists of."""

from __future__ import annotations

import math
import time

from packrank_client.errors import DeadlineExceeded, InvalidRequest


def is_timeout(value: object) -> bool:
    """Whether a value is a number of seconds that a call can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


class Deadline:
    """The moment `timeout_s` seconds from now. Raises InvalidRequest when that is no timeout."""

    def __init__(self, timeout_s: float) -> None:
        if not is_timeout(timeout_s):
            sentence = f"timeout_s is {timeout_s!r}; send a number of seconds above 0."
            raise InvalidRequest(sentence, kind="invalid_timeout")
        self._timeout_s = timeout_s
        self._expires_at_s = time.monotonic() + timeout_s

    def remaining_s(self) -> float:
        """Seconds left, above 0. Raises DeadlineExceeded when none are."""
        remaining_s = self._expires_at_s - time.monotonic()
        if remaining_s <= 0:
            raise self.exceeded()
        return remaining_s

    def exceeded(self) -> DeadlineExceeded:
        """The error to raise."""
        return DeadlineExceeded(
            f"no complete answer within timeout_s={self._timeout_s:g}; raise timeout_s or send fewer passages."
        )
