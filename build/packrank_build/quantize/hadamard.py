"""The same network in rotated coordinates, where no channel stands out: what int8 activations need.

A trained Llama keeps a few channels many times larger than the rest. One scale for all channels leaves the rest almost
no steps of an 8-bit number. RMSNorm without its weight commutes with any rotation of the residual stream. So a random
rotation that spreads those channels over all can be folded into the weights once, at no cost later. A product, not a
linear layer, precedes down_proj, so its input is rotated while the graph runs, in small Hadamard blocks. See Ashkboos
et al. 2024, SliceGPT (arXiv:2401.15024) and QuaRot (arXiv:2404.00456), on computational invariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture

Matrix = NDArray[np.float32]


class RotatedWeights:
    """FP32 weights, by their usual names, of a network that computes the same logits from a rotated residual stream.

    One rotation turns the residual stream, another each value head. Norm weights become 1: no rotation passes through
    them, so they are folded into the projections that follow. down_proj expects its input multiplied by
    `block_hadamard`, block by block.
    """

    def __init__(self, architecture: Architecture, weight: Callable[[str], NDArray[Any]]) -> None:
        self._architecture = architecture
        self._weight = weight
        self._stream = _rotation(architecture.hidden_size)
        self._head = _rotation(architecture.head_dim)
        self._block = block_hadamard(architecture.intermediate_size)

    def weight(self, name: str) -> Matrix:
        """Read one weight in the orientation of the checkpoint (projections are [out, in])."""
        stored = self._read(name)
        prefix, _, part = name.removesuffix(".weight").rpartition(".")
        match part:
            case "input_layernorm" | "post_attention_layernorm" | "norm":
                return np.ones_like(stored)
            case "embed_tokens":  # writes the rotated stream
                return stored @ self._stream
            case "score":  # reads it, through the final norm
                return self._folded(stored, "model.norm.weight") @ self._stream
            case "o_proj":  # reads rotated heads, writes the rotated stream
                return self._stream.T @ self._by_head(stored.T, self._architecture.heads).T
            case "down_proj":  # reads Hadamard blocks, writes the rotated stream
                blocks = stored.reshape(len(stored), -1, len(self._block)) @ self._block
                return self._stream.T @ blocks.reshape(stored.shape)
        # q, k, v, gate and up read the rotated stream; v also writes rotated heads
        layer, _, kind = prefix.rpartition(".")
        norm = "input_layernorm" if kind == "self_attn" else "post_attention_layernorm"
        rotated = self._folded(stored, f"{layer}.{norm}.weight") @ self._stream
        return self._by_head(rotated, self._architecture.kv_heads) if part == "v_proj" else rotated

    def _read(self, name: str) -> Matrix:
        return self._weight(name).astype(np.float32)

    def _folded(self, projection: Matrix, norm_name: str) -> Matrix:
        folded: Matrix = np.multiply(projection, self._read(norm_name))
        return folded

    def _by_head(self, rows: Matrix, heads: int) -> Matrix:
        """Rotate each head's rows of a [heads * head_dim, ...] matrix."""
        by_head = rows.reshape(heads, self._architecture.head_dim, -1)
        rotated: Matrix = np.einsum("ij,hik->hjk", self._head, by_head, optimize=True).reshape(rows.shape)
        return rotated


def block_hadamard(width: int) -> Matrix:
    """Make a Hadamard matrix [block, block]. The block divides `width` and is a power of 2, at most 64."""
    block = math.gcd(width, 64)
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    orthonormal: Matrix = np.divide(hadamard, np.sqrt(block), dtype=np.float32)
    return orthonormal


def _rotation(size: int) -> Matrix:
    """Draw a random orthogonal matrix, the same at every build."""
    orthogonal, _ = np.linalg.qr(np.random.RandomState(size).standard_normal((size, size)))
    rotation: Matrix = orthogonal.astype(np.float32)
    return rotation
