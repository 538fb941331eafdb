"""Which of several servers takes the next request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

# Long enough that few calls try a server that is down, short enough to use it again soon after it returns.
COOL_DOWN_S = 10.0


class RoundRobin:
    """Round robin over endpoints; an endpoint that was just unavailable comes last.

    All calls of a client share one. Safe to use from several threads.
    """

    def __init__(self, endpoints: Sequence[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.endpoints = tuple(endpoints)
        self._clock = clock
        self._cooling_until_s = [-float("inf")] * len(self.endpoints)
        self._next = 0
        self._lock = threading.Lock()

    def choose(self, excluded: Collection[int] = ()) -> int:
        """Return the index of the next request's endpoint. At least one must not be excluded."""
        with self._lock:
            now_s = self._clock()
            count = len(self.endpoints)
            turns = [(self._next + turn) % count for turn in range(count)]
            candidates = [endpoint for endpoint in turns if endpoint not in excluded]
            chosen = next((e for e in candidates if self._cooling_until_s[e] <= now_s), candidates[0])
            self._next = (chosen + 1) % count
            return chosen

    def cool_down(self, endpoint: int) -> None:
        """Remember that an endpoint is unavailable now."""
        with self._lock:
            self._cooling_until_s[endpoint] = self._clock() + COOL_DOWN_S
