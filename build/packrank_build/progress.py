"""Progress of long steps on stderr."""

from __future__ import annotations

import sys
import time


class Progress:
    """Prints at most one line per second, and always the first of each step, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def step(self, text: str) -> None:
        """Announce a step."""
        self._last = time.monotonic()
        print(f"[{self._last - self._start:5.0f} s] {text}", file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Report progress within a step; dropped if the last line is less than a second old."""
        if time.monotonic() - self._last >= 1:
            self.step(f"  {text}")
