"""The baseline of `make check-gpu`: the same checkpoint as an engine of padded pairs, as others export it.

Weights, precision, operators and fused attention are the packed engine's. The input is a rectangle [pairs, max_len],
and every pad token is computed. No GPU has run this file yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packrank_build.tensorrt.build import build_with_profiles
from packrank_build.tensorrt.log import BuildMessages, trt_logger
from packrank_build.tensorrt.network import network_from_onnx
from packrank_build.tensorrt.runner import EngineRun

# Longest pair of each profile. A profile holds as many pairs as the budget of padded tokens allows at that length.
LONGEST = (128, 512, 2048, 8192)


def padded_profiles(max_padded_tokens: int) -> list[tuple[int, int]]:
    """Return each profile's most pairs and longest pair; `max_padded_tokens` bounds their product."""
    return [(max(1, max_padded_tokens // longest), longest) for longest in LONGEST]


def padded_batches(lengths: Sequence[int], max_padded_tokens: int) -> list[list[int]]:
    """Cut pairs into batches that each fit a profile: indexes, in the order given. Sort pairs for less padding."""
    batches: list[list[int]] = []
    longest = 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        most = next(pairs for pairs, limit in padded_profiles(max_padded_tokens) if longest <= limit)
        if not batches or len(batches[-1]) >= most:
            batches.append([])
            longest = length
        batches[-1].append(index)
    return batches


def padded_inputs(pairs: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int32]]:
    """Pad pairs with token 0: input_ids INT32 [pairs, max_len] and seq_lens INT32 [pairs]."""
    lengths = np.fromiter(map(len, pairs), np.int32, len(pairs))
    input_ids = np.zeros((len(pairs), int(lengths.max())), np.int32)
    for row, ids in zip(input_ids, pairs, strict=True):
        row[: len(ids)] = ids
    return {"input_ids": input_ids, "seq_lens": lengths}


def padded_engine(
    trt: Any,
    onnx: Path,
    max_padded_tokens: int,
    messages: BuildMessages,
    *,
    sm: str | None,
    progress: Callable[[str], None],
) -> Any:
    """Build an engine of a padded graph. With `sm`, TensorRT-RTX builds it without a GPU. Raises EngineError."""
    builder = trt.Builder(trt_logger(trt, messages))
    network, parser = network_from_onnx(trt, builder, onnx, messages)
    options = builder.create_builder_config()
    for pairs, longest in padded_profiles(max_padded_tokens):
        profile = builder.create_optimization_profile()
        profile.set_shape("input_ids", (1, 1), (min(8, pairs), longest // 2), (pairs, longest))
        profile.set_shape("seq_lens", (1,), (min(8, pairs),), (pairs,))
        options.add_optimization_profile(profile)
    engine = build_with_profiles(trt, builder, network, options, messages, sm=sm, progress=progress)
    del parser
    return engine


class PaddedRanker:
    """Scores pairs with a padded plan on the GPU."""

    def __init__(self, trt: Any, plan: bytes, max_padded_tokens: int) -> None:
        self._run = EngineRun(trt, plan)
        self._max_padded_tokens = max_padded_tokens

    def logits(self, pairs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Score one batch that fits a profile: logits FP32 [pairs]."""
        inputs = padded_inputs(pairs)
        count, longest = inputs["input_ids"].shape
        fitting = [
            place
            for place, (most, limit) in enumerate(padded_profiles(self._max_padded_tokens))
            if count <= most and longest <= limit
        ]
        return self._run.logits(inputs, fitting[0] if fitting else None)
