"""How long to wait before servers that were all unavailable are tried again."""

from __future__ import annotations

import random
import time

from packrank_client.deadline import Deadline
from packrank_client.errors import DeadlineExceeded

FIRST_S = 0.1
# A server that restarts is back within seconds.
LONGEST_S = 2.0


class Pauses:
    """Each pause is twice as long as the last, up to `LONGEST_S`. Random parts keep callers from returning together."""

    def __init__(self) -> None:
        self._next_s = FIRST_S
        self._until_s = 0.0

    def begin(self, deadline: Deadline) -> bool:
        """Begin a pause, unless one is under way; False if the deadline would come first."""
        if self.remaining_s():
            return True
        pause_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
        try:
            if deadline.remaining_s() <= pause_s:
                return False
        except DeadlineExceeded:
            return False
        self._until_s = time.monotonic() + pause_s
        self._next_s = min(2 * self._next_s, LONGEST_S)
        return True

    def remaining_s(self) -> float:
        """Return the seconds left of the pause; 0 outside one."""
        return max(0.0, self._until_s - time.monotonic())
