"""How many tokens a second the servers behind manage, learnt from their answers while they have no lack of work."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_S = 2.0
# Servers had no lack of work if so much of what a window completed was waiting all the time.
SATURATED_SHARE = 0.25
# Weight of the newest window: speed changes slowly, and merged requests are answered in bunches.
NEWEST_WEIGHT = 0.3


class Capacity:
    """`tokens_per_s` is None until the servers have been saturated: a light load does not show what they can do.

    Tokens are counted as admission estimates them, so an estimate that is off cancels out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.tokens_per_s: float | None = None
        self._clock = clock
        self._began_s: float | None = None
        self._answered = 0
        self._least_pending = 0

    def idle(self) -> None:
        """No work was under way until now: time that must not be counted."""
        self._began_s = None

    def answered(self, tokens: int, still_pending: int) -> None:
        """A request of so many tokens has its answer; `still_pending` tokens of others are under way.

        A window reaches from one answer to another, so that bunches of answers are counted with the time they took.
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
        """How long so many tokens take; 0 while that is not known."""
        return tokens / self.tokens_per_s if self.tokens_per_s else 0.0

    def _begin_window(self, now_s: float, pending: int) -> None:
        self._began_s, self._answered, self._least_pending = now_s, 0, pending

    def _learn(self, measured: float) -> None:
        saturated = self._least_pending >= SATURATED_SHARE * self._answered
        if self.tokens_per_s is None:
            self.tokens_per_s = measured if saturated else None
        elif saturated or measured > self.tokens_per_s:  # whatever was done can be done
            self.tokens_per_s += NEWEST_WEIGHT * (measured - self.tokens_per_s)
