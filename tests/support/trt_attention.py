"""TensorRT's attention operator in numpy, for ONNX's reference evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from packrank_build.graph.attention import TENSORRT_DOMAIN


class TRT_Attention(OpRun):  # noqa: N801 - ONNX finds it by this name
    """softmax(Q K^T) V per head, unscaled, over the first `kv_lengths` keys of each pair: IAttention's definition."""

    op_domain = TENSORRT_DOMAIN

    def _run(self, query: Any, key: Any, value: Any, *ends: Any, **attributes: Any) -> tuple[NDArray[np.float32]]:
        assert attributes["kv_form"] == "padded_bhnd"
        group = query.shape[1] // key.shape[1]
        key, value = np.repeat(key, group, axis=1), np.repeat(value, group, axis=1)
        weights = query @ np.swapaxes(key, -1, -2)
        columns = np.arange(key.shape[2])
        if attributes["causal_kind"] == "upper_left":
            weights = np.where(columns[None, :] <= columns[:, None], weights, -np.inf)
        if ends:
            mask, query_lengths, lengths = ends
            assert mask is query_lengths is None
            assert lengths.dtype == np.int32
            weights = np.where(columns < lengths[:, None, None, None], weights, -np.inf)
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        return ((weights / weights.sum(axis=-1, keepdims=True) @ value).astype(np.float32),)
