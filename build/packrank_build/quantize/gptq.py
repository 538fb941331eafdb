"""Rounds a weight to few bits so that its products change least: GPTQ, Frantar et al. 2023 (arXiv:2210.17323).

Rounding to the nearest integer minimises each weight's own error. GPTQ rounds one input channel after the other. It
moves the error of each to the channels still to come, as far as the activations of both correlate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAMPING = 0.01  # of the mean squared activation, as in the paper
_BLOCK = 128  # input channels between two updates of all that follow; changes speed only


@dataclass(frozen=True)
class Int8Weight:
    """INT8 [outputs, inputs], and FP32 [outputs], the scale of each output."""

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]

    def fp32(self) -> NDArray[np.float32]:
        """Convert back to FP32 [outputs, inputs]."""
        values: NDArray[np.float32] = self.integers * self.scales[:, None]
        return values


def rounded(weight: NDArray[np.float32], second_moment: NDArray[np.float32], largest: int) -> Int8Weight:
    """Round to integers in -largest..largest; `largest` represents the largest |weight| of an output.

    `weight` is FP32 [outputs, inputs]; `second_moment` is X^T X [inputs, inputs] of activations X [tokens, inputs].
    """
    scales = (np.maximum(np.abs(weight).max(axis=1), 1e-30) / largest).astype(np.float32)
    # channels with large activations first, while other channels are left to correct them
    order = np.argsort(-np.diag(second_moment), kind="stable")
    correction = _correction(second_moment[np.ix_(order, order)])
    remaining = weight[:, order].astype(np.float32)
    integers = np.empty(weight.shape, np.int8)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = np.empty((len(weight), end - start), np.float32)
        for channel in range(start, end):
            column = remaining[:, channel]
            nearest = np.clip(np.rint(column / scales), -largest, largest)
            integers[:, order[channel]] = nearest
            errors[:, channel - start] = (column - nearest * scales) / correction[channel, channel]
            remaining[:, channel:end] -= np.outer(errors[:, channel - start], correction[channel, channel:end])
        remaining[:, end:] -= errors @ correction[start:end, end:]
    return Int8Weight(integers, scales)


def _correction(second_moment: NDArray[np.float32]) -> NDArray[np.float32]:
    """Factor the damped inverse (upper Cholesky): row i says how channel i's error moves to later channels."""
    damped = second_moment.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * max(float(np.diag(damped).mean()), 1e-30)
    factor: NDArray[np.float32] = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    return factor
