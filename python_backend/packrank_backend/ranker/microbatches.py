"""How a merged batch is cut into runs that keep the CPU's caches warm and its memory bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def length_sorted_runs(
    seq_lens: NDArray[np.int32], max_run_tokens: int, max_attention_weights: int
) -> list[NDArray[np.intp]]:
    """Group pairs of similar length: each run is an INTP array of indexes into `seq_lens`.

    Within a run, attention pads every pair to the longest, so similar lengths waste little. A run holds at most
    `max_run_tokens` padded tokens (pairs x longest) and `max_attention_weights` per head (pairs x longest squared),
    which memory grows with. A pair over either limit runs alone. Every pair is in exactly one run.
    """
    order = np.argsort(seq_lens, kind="stable")
    runs: list[NDArray[np.intp]] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order):
            longest = int(seq_lens[order[end]])
            pairs = end + 1 - start
            if pairs * longest <= max_run_tokens and pairs * longest**2 <= max_attention_weights:
                continue
        runs.append(order[start:end])
        start = end
    return runs
