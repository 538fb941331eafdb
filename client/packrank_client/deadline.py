"""One deadline for a whole call, including all of its requests."""

from __future__ import annotations

import math
import time

from packrank_client.errors import DeadlineExceeded, InvalidRequest


def is_timeout(value: object) -> bool:
    """Tell whether a value is a finite number of seconds above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


class Deadline:
    """The moment `timeout_s` seconds from now. Raises InvalidRequest if `timeout_s` is not a timeout."""

    def __init__(self, timeout_s: float) -> None:
        if not is_timeout(timeout_s):
            sentence = f"timeout_s is {timeout_s!r}; send a number of seconds above 0."
            raise InvalidRequest(sentence, kind="invalid_timeout")
        self._timeout_s = timeout_s
        self._expires_at_s = time.monotonic() + timeout_s

    def remaining_s(self) -> float:
        """Return the seconds left, above 0. Raises DeadlineExceeded when none are."""
        remaining_s = self._expires_at_s - time.monotonic()
        if remaining_s <= 0:
            raise self.exceeded()
        return remaining_s

    def exceeded(self) -> DeadlineExceeded:
        """Make the error that says the deadline has passed."""
        return DeadlineExceeded(
            f"no complete answer within timeout_s={self._timeout_s:g}; raise timeout_s or send fewer passages."
        )
