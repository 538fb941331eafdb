"""How long a request spent in each stage of the ensemble.

Tokenizer and postprocessor, which are Python on every machine, read the clock. An engine has no clock, so the ranker's
queue and its inference are one stage: from the end of tokenising to the postprocessor. All Python steps of one server
read the same clock, CLOCK_MONOTONIC.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_INT32_MAX = np.iinfo(np.int32).max


def stage_times_us(tokenised_ns: NDArray[np.int64], ranked_ns: int) -> NDArray[np.int32]:
    """Return INT32 [1, 2], microseconds: tokenising, and ranking with its queue.

    `tokenised_ns` INT64 [1, 2] says when tokenising of the merged batch began and ended, `ranked_ns` when the logits
    arrived. All are readings of `time.monotonic_ns()`.
    """
    ends_ns = np.append(tokenised_ns, ranked_ns)
    times_us: NDArray[np.int32] = np.clip(np.diff(ends_ns) // 1000, 0, _INT32_MAX).astype(np.int32)
    return times_us[None]
