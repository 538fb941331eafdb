"""How a merged batch is cut into runs that keep the CPU's caches warm and its memory bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def length_sorted_runs(
    seq_lens: NDArray[np.int32], max_run_tokens: int, max_run_attention_cells: int
) -> list[NDArray[np.intp]]:
    """Group pairs of similar length: each run is an INTP array of indexes into `seq_lens`.

    Within a run, attention is computed on frames as long as its longest pair, so similar lengths waste nothing.
    A run holds at most `max_run_tokens` frames (pairs x longest) and `max_run_attention_cells` attention weights
    per head (pairs x longest squared), which is what memory grows with; a pair that is over either by itself
    runs alone. Every pair is in exactly one run.
    """
    order = np.argsort(seq_lens, kind="stable")
    runs: list[NDArray[np.intp]] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order):
            longest = int(seq_lens[order[end]])
            pairs = end + 1 - start
            if pairs * longest <= max_run_tokens and pairs * longest**2 <= max_run_attention_cells:
                continue
        runs.append(order[start:end])
        start = end
    return runs
