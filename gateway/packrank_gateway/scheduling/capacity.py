"""How many tokens a second the model servers process, learnt from their answers while they are saturated."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_S = 2.0
# The servers count as saturated if at least this share of a window's completed tokens was pending throughout.
SATURATED_SHARE = 0.25
# Weight of the newest window: speed changes slowly, and merged requests are answered in bunches.
NEWEST_WEIGHT = 0.3


class Capacity:
    """`tokens_per_s` is None until the servers have been saturated: a light load does not show their speed.

    Tokens are counted as admission estimates them, so a wrong estimate cancels out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.tokens_per_s: float | None = None
        self._clock = clock
        self._began_s: float | None = None
        self._answered = 0
        self._least_pending = 0

    def idle(self) -> None:
        """Forget the window: no work was pending until now, and idle time must not count."""
        self._began_s = None

    def answered(self, tokens: int, still_pending: int) -> None:
        """Count a request of `tokens` tokens as answered, while others with `still_pending` tokens are pending.

        A window begins and ends with an answer, so that bunches of answers count with the time they took.
        """
        now_s = self._clock()
        if self._began_s is None:
            self._begin_window(now_s, still_pending)
            return
        self._answered += tokens
        self._least_pending = min(self._least_pending, still_pending)
        if now_s - self._began_s >= WINDOW_S:
            self._learn(self._answered / (now_s - self._began_s))
            self._begin_window(now_s, still_pending)

    def seconds(self, tokens: int) -> float:
        """Estimate the time for `tokens` tokens; 0 while the speed is unknown."""
        return tokens / self.tokens_per_s if self.tokens_per_s else 0.0

    def _begin_window(self, now_s: float, pending: int) -> None:
        self._began_s, self._answered, self._least_pending = now_s, 0, pending

    def _learn(self, measured: float) -> None:
        saturated = self._least_pending >= SATURATED_SHARE * self._answered
        if self.tokens_per_s is None:
            self.tokens_per_s = measured if saturated else None
        elif saturated or measured > self.tokens_per_s:  # a higher speed is proof, even of an unsaturated server
            self.tokens_per_s += NEWEST_WEIGHT * (measured - self.tokens_per_s)
