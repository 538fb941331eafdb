"""The same network in rotated coordinates, where no channel stands out: what int8 activations need.

A trained Llama keeps a few channels many times larger than the rest, and one scale for all of them leaves the rest
almost no steps of an 8-bit number. RMSNorm without its weight commutes with any rotation of the residual stream, so a
random rotation that spreads those channels over all can be folded into the weights once, and nothing is computed
for it later. Only the input of down_proj, which no linear layer precedes, is turned while the graph runs, in small
blocks. Computational invariance: Ashkboos et al. 2024, SliceGPT (arXiv:2401.15024) and QuaRot (arXiv:2404.00456).
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
    """Weights of a network that computes the same logits from a rotated residual stream, FP32, by their usual names.

    The residual stream is turned by one rotation, each value head by another. Norm weights become 1; they are folded
    into the projections that follow them, which a rotation could not pass through otherwise. down_proj expects its
    input in blocks turned by `block_rotation`.
    """

    def __init__(self, architecture: Architecture, weight: Callable[[str], NDArray[Any]]) -> None:
        self._architecture = architecture
        self._weight = weight
        self._stream = _rotation(architecture.hidden_size)
        self._head = _rotation(architecture.head_dim)
        self._block = block_rotation(architecture.intermediate_size)

    def weight(self, name: str) -> Matrix:
        """One weight in the orientation of the checkpoint (projections are [out, in])."""
        stored = self._read(name)
        prefix, _, part = name.removesuffix(".weight").rpartition(".")
        match part:
            case "input_layernorm" | "post_attention_layernorm" | "norm":
                return np.ones_like(stored)
            case "embed_tokens":
                return stored @ self._stream
            case "score":
                return self._folded(stored, "model.norm.weight") @ self._stream
            case "o_proj":
                return self._stream.T @ self._by_head(stored.T, self._architecture.heads).T
            case "down_proj":
                blocks = stored.reshape(len(stored), -1, len(self._block)) @ self._block
                return self._stream.T @ blocks.reshape(stored.shape)
        block, _, kind = prefix.rpartition(".")
        norm = "input_layernorm" if kind == "self_attn" else "post_attention_layernorm"
        turned = self._folded(stored, f"{block}.{norm}.weight") @ self._stream
        return self._by_head(turned, self._architecture.kv_heads) if part == "v_proj" else turned

    def _read(self, name: str) -> Matrix:
        return self._weight(name).astype(np.float32)

    def _folded(self, projection: Matrix, norm_name: str) -> Matrix:
        folded: Matrix = np.multiply(projection, self._read(norm_name))
        return folded

    def _by_head(self, rows: Matrix, heads: int) -> Matrix:
        """Turn each head's rows of a [heads * head_dim, ...] matrix."""
        by_head = rows.reshape(heads, self._architecture.head_dim, -1)
        turned: Matrix = np.einsum("ij,hik->hjk", self._head, by_head, optimize=True).reshape(rows.shape)
        return turned


def block_rotation(width: int) -> Matrix:
    """A Hadamard rotation [block, block] for `width` channels in blocks: the largest power of 2 up to 64 that fits."""
    block = math.gcd(width, 64)
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    rotation: Matrix = np.divide(hadamard, np.sqrt(block), dtype=np.float32)
    return rotation


def _rotation(size: int) -> Matrix:
    """A random orthogonal matrix, the same at every build."""
    orthogonal, _ = np.linalg.qr(np.random.RandomState(size).standard_normal((size, size)))
    rotation: Matrix = orthogonal.astype(np.float32)
    return rotation
