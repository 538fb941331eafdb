"""Means over queries with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 5000
_SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % bootstrap interval (percentile method)."""

    mean: float
    low: float
    high: float


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return the mean and its interval. For two rankers, pass the differences per query (a paired bootstrap)."""
    draws = np.random.default_rng(_SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))
