"""The moment from which nobody waits for a request any more.

A request says how long it may take (Triton's parameter `timeout`). The tokenizer turns that into a moment, and the
ranker looks at it between runs. The moment travels as the content of `max_len_carrier`, which no engine reads: a
tensor of its own would have to be an input of every engine.

A moment is INT32, in tenths of a second of CLOCK_MONOTONIC, which all processes of a machine share. 0 means none.
"""

from __future__ import annotations

import numpy as np

NO_DEADLINE = 0
_NS_PER_TICK = 100_000_000
_LATEST = int(np.iinfo(np.int32).max)


def deadline_after(timeout_us: int, now_ns: int) -> int:
    """Return the moment `timeout_us` microseconds from now, rounded up; NO_DEADLINE for a timeout of 0."""
    if timeout_us <= 0:
        return NO_DEADLINE
    return min(-(-(now_ns + 1000 * timeout_us) // _NS_PER_TICK), _LATEST)


def has_passed(deadline: int, now_ns: int) -> bool:
    """Tell whether a moment is over; NO_DEADLINE never is."""
    return deadline != NO_DEADLINE and now_ns > deadline * _NS_PER_TICK
