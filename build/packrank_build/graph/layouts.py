"""Where tokens stand: packed rows for everything that works token by token, padded rows for attention.

Pad and unpad mean what they mean in flash-attention: gather packed rows into a rectangle of pairs, and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from packrank_build.graph.ops import Ops

RopeTables = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Layout:
    """Values that every layer shares. `pad_index` and `unpad_index` are None where the rows are padded already."""

    token_ids: ir.Value  # INT32 [tokens]
    cosine: ir.Value  # FP32 [1, tokens, head_dim / 2], RoPE's for each token's position within its pair
    sine: ir.Value
    starts: ir.Value  # INT64 [pairs], the row of each pair's first token
    lengths: ir.Value  # INT64 [pairs]
    max_len: ir.Value  # INT64 [1], the longest pair's length
    padded_shape: ir.Value  # INT64 [3] = pairs, max_len, -1
    mask: ir.Value  # BOOL [pairs, max_len], false beyond a pair's end
    pad_index: ir.Value | None = None  # INT64 [pairs * max_len], the row that fills each padded position
    unpad_index: ir.Value | None = None  # INT64 [tokens], the padded position of each row


def packed_layout(op: Ops, tables: RopeTables) -> Layout:
    """Lay pairs end to end; declares the inputs that packed_graph.py documents."""
    input_ids, seq_lens = op.input("input_ids", "tokens"), op.input("seq_lens", "pairs")
    op.input("max_len_carrier", "carrier")
    max_len = op.Shape(op.input("max_len", "max_len"))
    lengths = op.Cast(seq_lens, to=ir.DataType.INT64)
    ends = op.CumSum(lengths, 0)
    starts = op.Sub(ends, lengths)
    token_count = op.Shape(input_ids)
    token = op.arange(token_count)  # [tokens]
    # the number of pairs that ended at or before a token is the number of its own pair
    ended = op.GreaterOrEqual(op.Unsqueeze(token, [1]), ends)  # [tokens, pairs]
    pair = op.ReduceSum(op.Cast(ended, to=ir.DataType.INT64), [1], keepdims=0)
    position = op.Sub(token, op.Gather(starts, pair))
    column = op.arange(max_len)
    # A position beyond a pair's end takes some other token, which the mask hides. The index stays within the tokens.
    row = op.Add(op.Unsqueeze(starts, [1]), column)  # [pairs, max_len]
    row = op.Min(row, op.Sub(token_count, [1]))
    cosine, sine = _rope_of(op, tables, position)
    return Layout(
        token_ids=input_ids,
        cosine=cosine,
        sine=sine,
        starts=starts,
        lengths=lengths,
        max_len=max_len,
        padded_shape=op.Concat(op.Shape(seq_lens), max_len, [-1], axis=0),
        mask=op.Less(column, op.Unsqueeze(lengths, [1])),
        pad_index=op.Reshape(row, [-1]),
        unpad_index=op.Add(op.Mul(pair, max_len), position),
    )


def padded_layout(op: Ops, tables: RopeTables) -> Layout:
    """Lay pairs out as a rectangle, input_ids [pairs, max_len]: every pad token is computed like any other."""
    input_ids, seq_lens = op.input("input_ids", "pairs", "max_len"), op.input("seq_lens", "pairs")
    shape, max_len = op.Shape(input_ids), op.Shape(input_ids, start=1)
    lengths = op.Cast(seq_lens, to=ir.DataType.INT64)
    column = op.arange(max_len)
    cosine, sine = _rope_of(op, tables, op.Reshape(op.Expand(column, shape), [-1]))
    return Layout(
        token_ids=op.Reshape(input_ids, [-1]),
        cosine=cosine,
        sine=sine,
        starts=op.Mul(op.arange(op.Shape(seq_lens)), max_len),
        lengths=lengths,
        max_len=max_len,
        padded_shape=op.Concat(shape, [-1], axis=0),
        mask=op.Less(column, op.Unsqueeze(lengths, [1])),
    )


def _rope_of(op: Ops, tables: RopeTables, position: ir.Value) -> tuple[ir.Value, ir.Value]:
    # Gathered here and not by RotaryEmbedding's position_ids, which ONNX Runtime refuses when there are more tokens
    # than table rows, as in any packed batch.
    named = zip(("rope_cosine", "rope_sine"), tables, strict=True)
    cosine, sine = (op.Unsqueeze(op.Gather(op.constant(name, table), position), [0]) for name, table in named)
    return cosine, sine
