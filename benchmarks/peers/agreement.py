"""Whether a contestant computes the same model as the others: a speed of something else would mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.peers.running import ContestantFailed

# Whoever computes the same model in another precision is above; another pooling, prompt or direction is far below.
LEAST_CORRELATION = 0.98


def correlation(name: str, reference: Sequence[float], logits: Sequence[float]) -> float:
    """Pearson's correlation of a contestant's logits with the reference's. Raises ContestantFailed when it is low."""
    with np.errstate(invalid="ignore"):  # logits that are all equal correlate with nothing
        found = float(np.corrcoef(reference, logits)[0, 1])
    if not found >= LEAST_CORRELATION:
        raise ContestantFailed(
            f"{name} computes another model: its logits correlate by {found:.4f} with the padded one's"
        )
    return found
