"""Attention over padded pairs, in the form that each runtime computes fast and right."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx_ir as ir

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.layouts import Layout
from packrank_build.graph.ops import Ops

# How attention learns where a pair ends.
# - lengths: ONNX Runtime takes the length of each pair (nonpad_kv_seqlen, new in opset 24) and refuses a mask of
#   [pairs, 1, 1, max_len]. TensorRT's parser drops these lengths without an error.
# - kv_lengths: TensorRT's own operator takes them, which allows a kernel to stop at a pair's end. That of TensorRT-RTX
#   1.7 for SM89 does not: by the source in its plan, it goes through all keys and compares positions with the length.
# - row_mask: ONNX's Attention with exactly that mask. TensorRT fuses it too: for a GPU without kernels for kv_lengths.
AttentionForm = Literal["lengths", "kv_lengths", "row_mask"]
OPSETS: dict[AttentionForm, int] = {"lengths": 24, "kv_lengths": 23, "row_mask": 23}

# TensorRT's parser finds its operators by name, in any domain. ONNX's own would not pass ONNX's checker.
TENSORRT_DOMAIN = "tensorrt"

# ONNX's own Attention holds all attention weights of a run in memory: 2.4 GB per layer for 9 heads and 8,192 tokens. It
# is faster for short pairs. ONNX Runtime's MultiHeadAttention goes through the weights block by block (Dao et al. 2022,
# arXiv:2205.14135), but then takes neither lengths nor a mask. So it serves a pair that runs alone.
BLOCKWISE_FROM_TOKENS = 512


class Attention:
    """Writes the attention of a layer. With `blockwise`, it adds a branch for a long pair that runs alone."""

    def __init__(
        self, op: Ops, architecture: Architecture, layout: Layout, form: AttentionForm, *, blockwise: bool
    ) -> None:
        self.op = op
        self.architecture = architecture
        self.layout = layout
        self.form = form
        self.is_one_long_pair = self._is_one_long_pair() if blockwise else None

    def __call__(self, query: ir.Value, key: ir.Value, value: ir.Value, name: str) -> ir.Value:
        """Mix each pair's values: [pairs, max_len, heads * head_dim] and twice [pairs, max_len, kv_heads * head_dim].

        Returns rows [pairs * max_len, heads * head_dim]. `name` is the layer's.
        """
        if self.is_one_long_pair is None:
            return self._at_once(query, key, value)
        return self.op.If(
            self.is_one_long_pair,
            then_branch=self.op.branch(f"{name}.blockwise", lambda: self._blockwise(query, key, value)),
            else_branch=self.op.branch(f"{name}.at_once", lambda: self._at_once(query, key, value)),
        )

    def _at_once(self, query: ir.Value, key: ir.Value, value: ir.Value) -> ir.Value:
        """Write an Attention that knows grouped heads (Ainslie et al. 2023, arXiv:2305.13245)."""
        if self.form == "kv_lengths":
            return self._of_tensorrt(query, key, value)
        mixed = self.op.compute.Attention(
            query,
            key,
            value,
            *self._pair_ends(),
            q_num_heads=self.architecture.heads,
            kv_num_heads=self.architecture.kv_heads,
            is_causal=int(self.architecture.causal),
        )
        return self._rows(mixed)

    def _of_tensorrt(self, query: ir.Value, key: ir.Value, value: ir.Value) -> ir.Value:
        """Write TensorRT's IAttention: inputs query, key, value, mask, query lengths, key and value lengths.

        It takes heads as a dimension, [pairs, heads, max_len, head_dim], and does not scale: so the query is scaled.
        """
        op, architecture = self.op, self.architecture
        scale = op.constant("attention_scale", np.array(architecture.head_dim**-0.5, np.float32))
        mixed = op.compute.TRT_Attention(
            self._by_head(op.compute.Mul(query, op.to_compute_dtype(scale)), architecture.heads),
            self._by_head(key, architecture.kv_heads),
            self._by_head(value, architecture.kv_heads),
            *self._pair_ends(),
            domain=TENSORRT_DOMAIN,
            kv_form="padded_bhnd",
            causal_kind="upper_left" if architecture.causal else "none",
        )
        return self._rows(op.Transpose(mixed, perm=[0, 2, 1, 3]))

    def _by_head(self, padded: ir.Value, heads: int) -> ir.Value:
        by_head = self.op.Reshape(padded, [0, 0, heads, self.architecture.head_dim])
        return self.op.Transpose(by_head, perm=[0, 2, 1, 3])

    def _blockwise(self, query: ir.Value, key: ir.Value, value: ir.Value) -> ir.Value:
        """Write MultiHeadAttention without a length mask. It has no grouped heads, so K and V are expanded."""
        op, heads = self.op, self.architecture.heads
        key, value = self._for_every_query_head(key), self._for_every_query_head(value)
        return self._rows(op.node("MultiHeadAttention", query, key, value, num_heads=heads, domain="com.microsoft"))

    def _for_every_query_head(self, padded: ir.Value) -> ir.Value:
        op, heads = self.op, self.architecture.heads
        kv_heads, head_dim = self.architecture.kv_heads, self.architecture.head_dim
        by_head = op.Reshape(padded, [0, 0, kv_heads, 1, head_dim])
        return op.Reshape(op.Expand(by_head, [1, 1, 1, heads // kv_heads, 1]), [0, 0, heads * head_dim])

    def _rows(self, mixed: ir.Value) -> ir.Value:
        return self.op.Reshape(mixed, [-1, self.architecture.heads * self.architecture.head_dim])

    def _pair_ends(self) -> list[ir.Value | None]:
        """List the inputs after query, key and value that keep Attention within each pair."""
        if self.architecture.causal:  # what lies beyond is in every token's future
            return []
        if self.form == "lengths":
            return [None, None, None, self.layout.lengths]
        if self.form == "kv_lengths":
            return [None, None, self.op.Cast(self.layout.lengths, to=ir.DataType.INT32)]
        return [self.op.Unsqueeze(self.layout.mask, [1, 2])]

    def _is_one_long_pair(self) -> ir.Value:
        op, layout = self.op, self.layout
        is_one = op.Equal(op.Shape(layout.lengths), [1])
        return op.And(is_one, op.GreaterOrEqual(layout.max_len, [BLOCKWISE_FROM_TOKENS]))
