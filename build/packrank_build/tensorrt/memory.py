"""How much of a GPU's memory an engine takes: arithmetic that `make check-engine` holds to what TensorRT reports."""

from __future__ import annotations

from math import prod

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.tensorrt.targets import EnginePrecision, Profile, Target

# An allowance for the CUDA context, cuBLAS workspaces and Triton's CUDA pool (64 MB). No GPU has measured it yet.
RESERVED_BYTES = 10**9
# At least this share of a card's memory stays free.
MARGIN = 0.15

_ACTIVATION = 2  # fp16 and bf16; with fp8 only the operands of projections are smaller, and only for a moment
_INT32 = _FP32 = 4


def weight_bytes(architecture: Architecture, precision: EnginePrecision, max_pair_tokens: int) -> int:
    """Add up the weights: norms, score head and RoPE tables in fp32, projections in the engine's precision.

    The embedding is fp16 where projections are fp8.
    """
    total = 2 * _FP32 * max_pair_tokens * architecture.head_dim // 2
    for name, shape in architecture.weight_shapes().items():
        if len(shape) == 1 or name.startswith("score"):
            total += prod(shape) * _FP32
        else:
            total += prod(shape) * (1 if precision == "fp8" and ".layers." in name else 2)
    return total


def scratch_bytes(architecture: Architecture, profile: Profile) -> int:
    """Predict the activations at a profile's maximum.

    The residual stream lives throughout: one fp32 row per token. The larger of two things adds to it. Per token, the
    MLP holds gate, up, their product and the stream's next value. Per padded token, attention holds query, key, value
    and result. Layers follow one another, so their number does not count.
    """
    tokens, padded_tokens = profile.tokens[2], profile.pairs[2] * profile.max_len[2]
    heads_width = (architecture.heads + architecture.kv_heads) * architecture.head_dim
    stream = tokens * _FP32 * architecture.hidden_size
    mlp = tokens * (3 * _ACTIVATION * architecture.intermediate_size + _FP32 * architecture.hidden_size)
    attention = padded_tokens * 2 * _ACTIVATION * heads_width
    return stream + max(mlp, attention)


def tensor_bytes(target: Target) -> int:
    """Add up the buffers of inputs and outputs, which Triton allocates once for the largest profile."""
    return max(
        2 * profile.tokens[2] * _INT32 + profile.max_len[2] * _INT32 + profile.pairs[2] * (_INT32 + _FP32)
        for profile in target.profiles
    )


def engine_bytes(architecture: Architecture, target: Target, precision: EnginePrecision, max_pair_tokens: int) -> int:
    """Add up everything that the engine holds. ON_PROFILE_CHANGE reserves scratch memory for every profile."""
    scratch = sum(scratch_bytes(architecture, profile) for profile in target.profiles)
    return weight_bytes(architecture, precision, max_pair_tokens) + scratch + tensor_bytes(target)


def fits(target: Target, needed_bytes: int) -> bool:
    """Whether an engine of that size leaves MARGIN of the card's memory free."""
    return needed_bytes + RESERVED_BYTES <= (1 - MARGIN) * target.memory_bytes
