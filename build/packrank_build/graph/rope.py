"""Rotary position embedding: the cosine and sine of every position up to the limit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture


def inverse_frequencies(architecture: Architecture) -> NDArray[np.float32]:
    """Compute the rotation speed of each pair of channels: FP32 [head_dim / 2], radians per position.

    RoPE (Su et al. 2021, arXiv:2104.09864) with base `rope_theta`; with `rope_scaling`, Llama 3.1's rule. Wavelengths
    longer than original_max_positions / low_freq_factor are slowed by `factor`. Those shorter than
    original_max_positions / high_freq_factor are kept, and those between are interpolated.
    """
    exponent = np.arange(0, architecture.head_dim, 2, dtype=np.float32) / np.float32(architecture.head_dim)
    frequencies: NDArray[np.float32] = np.float32(1.0) / np.power(np.float32(architecture.rope_theta), exponent)
    scaling = architecture.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    band = scaling.high_freq_factor - scaling.low_freq_factor
    smooth = np.clip((scaling.original_max_positions / wavelengths - scaling.low_freq_factor) / band, 0, 1)
    scaled = (1 - smooth) * frequencies / scaling.factor + smooth * frequencies
    return scaled.astype(np.float32)


def rope_tables(architecture: Architecture, positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute cosine and sine, each FP32 [positions, head_dim / 2], in fp32 as transformers does."""
    angles = np.outer(np.arange(positions, dtype=np.float32), inverse_frequencies(architecture))
    return np.cos(angles), np.sin(angles)
