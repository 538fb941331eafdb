"""How much of a GPU's memory an engine takes: arithmetic that `make engine-check` holds to what TensorRT reports."""

from __future__ import annotations

from math import prod

from packrank_build.architecture import Architecture
from packrank_build.packed_graph import Precision
from packrank_build.targets import Profile, Target

# CUDA context, cuBLAS workspaces and Triton's CUDA pool (64 MB): an allowance, measured by no GPU yet.
RESERVED_BYTES = 10**9
# What stays free of a card's memory, at least.
MARGIN = 0.15

_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2}
_INT32 = _FP32 = 4


def weight_bytes(architecture: Architecture, precision: Precision, max_pair_tokens: int) -> int:
    """Weights in the engine: matrices in the compute precision, norms and score head and rotation tables in fp32."""
    elements = _BYTES[precision]
    total = 2 * _FP32 * max_pair_tokens * architecture.head_dim // 2
    for name, shape in architecture.weight_shapes().items():
        total += prod(shape) * (_FP32 if len(shape) == 1 or name.startswith("score") else elements)
    return total


def scratch_bytes(architecture: Architecture, profile: Profile, precision: Precision) -> int:
    """Activations at a profile's maximum.

    The residual stream lives throughout: one fp32 row a token. On top comes the larger of two: the MLP, with gate, up
    and their product a token and the residual stream's next value; or attention, with query, key, value and result a
    frame (pairs x longest). Layers follow one another, so their number does not count.
    """
    tokens, frames = profile.tokens[2], profile.pairs[2] * profile.longest[2]
    element = _BYTES[precision]
    heads_width = (architecture.heads + architecture.kv_heads) * architecture.head_dim
    stream = tokens * _FP32 * architecture.hidden_size
    mlp = tokens * (3 * element * architecture.intermediate_size + _FP32 * architecture.hidden_size)
    attention = frames * 2 * element * heads_width
    return stream + max(mlp, attention)


def tensor_bytes(target: Target) -> int:
    """Buffers of inputs and outputs, which Triton allocates once for the largest profile."""
    return max(
        2 * profile.tokens[2] * _INT32 + profile.longest[2] * _INT32 + profile.pairs[2] * (_INT32 + _FP32)
        for profile in target.profiles
    )


def engine_bytes(architecture: Architecture, target: Target, precision: Precision, max_pair_tokens: int) -> int:
    """Everything that the target's instances hold: ON_PROFILE_CHANGE reserves each profile's scratch for itself."""
    scratch = sum(scratch_bytes(architecture, profile, precision) for profile in target.profiles)
    one = weight_bytes(architecture, precision, max_pair_tokens) + scratch + tensor_bytes(target)
    return target.instances * one


def fits(target: Target, needed_bytes: int) -> bool:
    """Whether an engine of that size leaves the stated margin of the card's memory free."""
    return needed_bytes + RESERVED_BYTES <= (1 - MARGIN) * target.memory_bytes
