"""The packed Llama cross-encoder as an ONNX graph: no pad token in, one logit per pair out.

Pairs lie end to end in `input_ids`, and `seq_lens` holds their lengths. Embedding, norms, projections and MLP work
token by token, so they run on packed rows [tokens, width]. Only attention mixes tokens: Q, K and V are padded to
[pairs, max_len, width] for it, and its result is unpadded. reference.py computes the same Llama in numpy.

Three files hold the rest. ops.py writes operators and casts. layouts.py computes where tokens stand. attention.py picks
the attention operator of each runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.attention import OPSETS, Attention, AttentionForm
from packrank_build.graph.layouts import Layout, packed_layout, padded_layout
from packrank_build.graph.ops import Ops, Precision
from packrank_build.graph.rope import rope_tables

WeightReader = Callable[[str], NDArray[Any]]


def packed_graph(
    architecture: Architecture,
    weight: WeightReader,
    precision: Precision,
    max_pair_tokens: int,
    *,
    emulate: bool = False,
    attention: AttentionForm = "lengths",
    padded: bool = False,
) -> ir.Model:
    """Write the graph. `weight` reads a weight by its Hugging Face name; large ones only when the model is saved.

    Inputs:  input_ids INT32 [tokens];
             seq_lens INT32 [pairs], each at least 1, summing to tokens;
             max_len_carrier INT32 [carrier], which the graph never reads. Triton makes max_len from it: each request
             sends as many elements as its longest pair has tokens. The input exists because Triton's C++ backends
             refuse a configured input that the model lacks;
             max_len INT32 [max_len]: its shape is the longest pair's length, and its content is never read. If the
             length were computed from seq_lens, TensorRT would make it a shape tensor, which Triton cannot fill.
    Output:  logits FP32 [pairs].

    `precision` is that of projections and attention. Norms, RoPE, residual stream, pooling and score head are fp32 in
    every precision, since their sums are what low precision loses.

    `emulate` computes in fp32 and rounds every result to `precision`, as hardware with fp32 accumulators does. It is
    for runtimes that lack the precision: ONNX Runtime's CPU kernels have no bf16.

    `attention` is the form that the runtime needs. All forms compute the same.

    `padded` writes what others export, for comparison. Its inputs are input_ids INT32 [pairs, max_len], padded on the
    right with any token, and seq_lens. The operators are the same, but work on every pad token too.
    """
    graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSETS[attention]}, name="packed_llama_cross_encoder")
    op = Ops(graph, precision, emulate=emulate)
    tables = rope_tables(architecture, max_pair_tokens)
    layout = padded_layout(op, tables) if padded else packed_layout(op, tables)
    # The blockwise operator takes neither a mask nor causality, and knows nothing of emulated rounding.
    blockwise = attention == "lengths" and op.is_fp32 and not architecture.causal and not padded
    attend = Attention(op, architecture, layout, attention, blockwise=blockwise)
    logits = _Llama(architecture, weight, op, layout, attend).logits()
    logits.type, logits.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([ir.SymbolicDim("pairs")])
    graph.outputs.append(logits)
    return ir.Model(graph, ir_version=11, producer_name="packrank")


class _Llama:
    """Writes the forward pass, top to bottom. Shapes are of packed rows; a padded graph has a row per pad token too."""

    def __init__(
        self, architecture: Architecture, weight: WeightReader, op: Ops, layout: Layout, attend: Attention
    ) -> None:
        self.architecture = architecture
        self.weight = weight
        self.shapes = architecture.weight_shapes()
        self.op = op
        self.layout = layout
        self.attend = attend

    def logits(self) -> ir.Value:
        """Score each pair: FP32 [pairs]."""
        hidden = self.op.Identity(self._forward(), name="last_hidden")  # the parity gate reads it by this name
        normed = self._norm(hidden, "model.norm.weight")
        # The head is linear, so the mean of the tokens' scores is the score of the tokens' mean.
        head = self.op.constant("score.weight", self.weight("score.weight").astype(np.float32).T)
        score = self._pool(self.op.MatMul(normed, head))
        temperature = self.op.constant("temperature", np.full(1, self.architecture.temperature, np.float32))
        return self.op.Div(score, temperature, name="logits")

    def _forward(self) -> ir.Value:
        """Run every layer: the residual stream after the last one, FP32 [tokens, hidden_size]."""
        op = self.op
        embedding = self._weight("model.embed_tokens.weight")
        hidden = op.to_fp32(op.Gather(embedding, self.layout.token_ids))
        for layer in range(self.architecture.layers):
            prefix = f"model.layers.{layer}"
            normed = op.to_compute_dtype(self._norm(hidden, f"{prefix}.input_layernorm.weight"))
            hidden = op.Add(hidden, op.to_fp32(self._attention(normed, f"{prefix}.self_attn")))
            normed = op.to_compute_dtype(self._norm(hidden, f"{prefix}.post_attention_layernorm.weight"))
            hidden = op.Add(hidden, op.to_fp32(self._mlp(normed, f"{prefix}.mlp")))
        return hidden

    def _attention(self, normed: ir.Value, prefix: str) -> ir.Value:
        """Attend within each pair: [tokens, hidden_size] -> [tokens, hidden_size]."""
        query, key, value = (self._project(normed, f"{prefix}.{part}_proj.weight") for part in "qkv")
        query = self._rope(query, self.architecture.heads)
        key = self._rope(key, self.architecture.kv_heads)
        mixed = self.attend(self._pad(query), self._pad(key), self._pad(value), prefix)
        return self._project(self._unpad(mixed), f"{prefix}.o_proj.weight")

    def _mlp(self, normed: ir.Value, prefix: str) -> ir.Value:
        """SwiGLU (Shazeer 2020, arXiv:2002.05202): [tokens, hidden_size] -> [tokens, hidden_size]."""
        compute = self.op.compute
        gate = self._project(normed, f"{prefix}.gate_proj.weight")
        up = self._project(normed, f"{prefix}.up_proj.weight")
        silu = compute.Mul(gate, compute.Sigmoid(gate))
        return self._project(compute.Mul(silu, up), f"{prefix}.down_proj.weight")

    def _pool(self, token_scores: ir.Value) -> ir.Value:
        """Take each pair's last score or the mean of all: FP32 [tokens, 1] -> [pairs]."""
        op, layout = self.op, self.layout
        if self.architecture.pooling == "last":
            last = op.Sub(op.Add(layout.starts, layout.lengths), [1])
            return op.Squeeze(op.Gather(token_scores, last), [1])
        padded = op.Squeeze(self._pad(token_scores), [2])  # [pairs, max_len]
        counted = op.Where(layout.mask, padded, op.constant("zero", np.zeros(1, np.float32)))
        total = op.ReduceSum(counted, [1], keepdims=0)
        return op.Div(total, op.Cast(layout.lengths, to=ir.DataType.FLOAT))

    def _norm(self, hidden: ir.Value, name: str) -> ir.Value:
        """RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467): FP32 in and out."""
        scale = self.op.constant(name, self.weight(name).astype(np.float32))
        return self.op.RMSNormalization(hidden, scale, axis=-1, epsilon=self.architecture.norm_epsilon)

    def _rope(self, rows: ir.Value, heads: int) -> ir.Value:
        """Rotate each head by its token's position, in fp32 (RoPE, Su et al. 2021, arXiv:2104.09864)."""
        op, layout = self.op, self.layout
        one_sequence = op.Unsqueeze(op.to_fp32(rows), [0])  # [1, tokens, heads * head_dim]
        rotated = op.RotaryEmbedding(one_sequence, layout.cosine, layout.sine, num_heads=heads)
        return op.to_compute_dtype(op.Squeeze(rotated, [0]))

    def _project(self, rows: ir.Value, name: str) -> ir.Value:
        return self.op.compute.MatMul(rows, self._weight(name, transpose=True))

    def _pad(self, rows: ir.Value) -> ir.Value:
        """[tokens, width] -> [pairs, max_len, width]."""
        if self.layout.pad_index is not None:
            rows = self.op.Gather(rows, self.layout.pad_index)
        return self.op.Reshape(rows, self.layout.padded_shape)

    def _unpad(self, rows: ir.Value) -> ir.Value:
        """[pairs * max_len, width] -> [tokens, width]."""
        return rows if self.layout.unpad_index is None else self.op.Gather(rows, self.layout.unpad_index)

    def _weight(self, name: str, *, transpose: bool = False) -> ir.Value:
        """Store a large weight; `transpose` turns the checkpoint's [out, in] into [in, out]."""
        shape = self.shapes[name]

        def read() -> NDArray[Any]:
            return self.weight(name).T if transpose else self.weight(name)

        return self.op.weight(name, shape[::-1] if transpose else shape, read)
