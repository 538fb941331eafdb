"""How long a request was in the steps of the ensemble, by the clocks of the two steps that are Python everywhere.

An engine has no clock, so the ranker's queue and its inference are one stage: from the end of tokenising to the
postprocessor. All Python steps of one server read the same clock, CLOCK_MONOTONIC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_INT32_MAX = np.iinfo(np.int32).max


def stage_times_us(tokenised_ns: NDArray[np.int64], ranked_ns: int) -> NDArray[np.int32]:
    """INT32 [1, 2], microseconds: tokenising, and ranking with its queue.

    `tokenised_ns` INT64 [1, 2]: when tokenising began and ended, with what the request was merged with; `ranked_ns`:
    when its logits arrived. All are readings of `time.monotonic_ns()`.
    """
    ends_ns = np.append(tokenised_ns, ranked_ns)
    times_us: NDArray[np.int32] = np.clip(np.diff(ends_ns) // 1000, 0, _INT32_MAX).astype(np.int32)
    return times_us[None]
