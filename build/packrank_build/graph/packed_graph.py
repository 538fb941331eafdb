"""The packed Llama cross-encoder as an ONNX graph: no pad token in, one logit per pair out.

Pairs lie one after another in `input_ids`; `seq_lens` says where each ends. Embedding, norms, projections and
MLP are per-token, so they run on the packed rows. Only attention mixes tokens: there Q, K and V are gathered
into one row of frames per pair, as many as the longest pair needs, and the result is gathered back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.rope import rotation_tables
from packrank_build.quantize.gptq import Int8Weight
from packrank_build.quantize.hadamard import RotatedWeights, block_rotation

# How attention learns where a pair ends. ONNX Runtime takes the length of each row (nonpad_kv_seqlen, new in opset 24)
# and refuses a mask of [pairs, 1, 1, longest]. TensorRT's parser drops the lengths without an error, and fuses
# attention with exactly that mask, which needs no more than opset 23.
AttentionForm = Literal["lengths", "row_mask"]
OPSETS: dict[AttentionForm, int] = {"lengths": 24, "row_mask": 23}
OPSET = OPSETS["lengths"]

# Attention of the ONNX standard holds all weights of a run in memory, 2.4 GB a layer for 9 heads and 8,192 tokens, and
# is the faster one for short pairs. ONNX Runtime's MultiHeadAttention goes through them block by block (Dao et al.
# 2022, arXiv:2205.14135) and takes neither lengths nor a mask on the way, so it is for a pair that runs alone.
BLOCKWISE_FROM_TOKENS = 512

Precision = Literal["fp32", "fp16", "bf16", "int8"]
_DTYPES = {
    "fp32": ir.DataType.FLOAT,
    "fp16": ir.DataType.FLOAT16,
    "bf16": ir.DataType.BFLOAT16,
    "int8": ir.DataType.FLOAT,
}

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
    int8: Mapping[str, Int8Weight] | None = None,
) -> ir.Model:
    """Write the graph; weights are read through `weight` only while the model is being saved.

    Inputs:  input_ids INT32 [tokens]; seq_lens INT32 [pairs], summing to tokens, each at least 1;
             longest INT32 [carried], not read at all: Triton makes max_len from it (each request sends as many
             elements as its longest pair has tokens), and its C++ backends refuse a configured input that the
             model lacks;
             max_len INT32 [longest], of which only the shape is read: the longest pair's length. A shape, because
             a length computed from the values of seq_lens would become a shape tensor in TensorRT.
    Output:  logits FP32 [pairs].

    `attention` is the form that the runtime needs; both compute the same.

    `padded` is what others export, for comparison: input_ids INT32 [pairs, longest], padded on the right with any
    token, and seq_lens are the only inputs. The same operators, on every pad token too, and without the gathering.

    `precision` is that of the projections and of attention. Norms, rotation, the residual stream, pooling and
    score are fp32 in every precision, since their sums are what low precision loses. int8 needs the projections that
    int8_weights.py made (`int8`), of the rotated network (rotation.py), and runs on ONNX Runtime only: each projection
    is one com.microsoft.MatMulIntegerToFloat, whose weights have a scale for each output channel and whose rows are
    UINT8 with a scale for each token, so that no pair's score depends on what else is in the batch. Attention is fp32.

    With `emulate` the same graph computes in fp32 and rounds every result to `precision`: what hardware with fp32
    accumulators does, on a runtime that lacks the precision (ONNX Runtime's CPU kernels have no bf16).
    """
    writer = _GraphWriter(
        architecture, weight, precision, max_pair_tokens, emulate=emulate, attention=attention, int8=int8 or {}
    )
    return writer.padded_model() if padded else writer.model()


@dataclass(frozen=True)
class _Layout:
    """Where packed tokens stand: values shared by every layer."""

    cosine: ir.Value  # FP32 [1, tokens, head_dim / 2], rotation of each token by its position within its pair
    sine: ir.Value
    frames_of_tokens: ir.Value | None  # INT64 [pairs * longest], the token that each frame shows; None: the same one
    tokens_of_frames: ir.Value | None  # INT64 [tokens], the frame in which each token stands; None: the same one
    frame_shape: ir.Value  # INT64 [3] = pairs, longest, -1
    is_token: ir.Value  # BOOL [pairs, longest], false where a frame is beyond its pair's end
    lengths: ir.Value  # INT64 [pairs]
    starts: ir.Value  # INT64 [pairs], each pair's first token
    is_one_long_pair: ir.Value | None  # BOOL [1]; None: nobody asks


class _GraphWriter:
    def __init__(
        self,
        architecture: Architecture,
        weight: WeightReader,
        precision: Precision,
        max_pair_tokens: int,
        *,
        emulate: bool,
        attention: AttentionForm,
        int8: Mapping[str, Int8Weight],
    ) -> None:
        self.architecture = architecture
        self.weight = RotatedWeights(architecture, weight).weight if precision == "int8" else weight
        self.precision = precision
        self.dtype = _DTYPES[precision]
        self.max_pair_tokens = max_pair_tokens
        self.rounds = emulate and precision != "fp32"
        self.casts = self.dtype != ir.DataType.FLOAT and not emulate
        self.attention_form = attention
        self.int8 = int8
        # what ONNX Runtime computes in fp32 on a CPU
        fp32 = self.dtype == ir.DataType.FLOAT and not self.rounds
        self.blockwise = attention == "lengths" and fp32 and not architecture.causal
        self.tape = ir.tape.Tape()

    def model(self) -> ir.Model:
        tokens, pairs, longest = (ir.SymbolicDim(name) for name in ("tokens", "pairs", "longest"))
        input_ids = _value("input_ids", ir.DataType.INT32, tokens)
        seq_lens = _value("seq_lens", ir.DataType.INT32, pairs)
        carrier = _value("longest", ir.DataType.INT32, ir.SymbolicDim("carried"))
        max_len = _value("max_len", ir.DataType.INT32, longest)
        logits = self._scored(input_ids, self._layout(input_ids, seq_lens, max_len), pairs)
        return self._model([input_ids, seq_lens, carrier, max_len], logits)

    def padded_model(self) -> ir.Model:
        pairs, longest = ir.SymbolicDim("pairs"), ir.SymbolicDim("longest")
        input_ids = _value("input_ids", ir.DataType.INT32, pairs, longest)
        seq_lens = _value("seq_lens", ir.DataType.INT32, pairs)
        rows = self._op("Reshape", input_ids, self._constant("flat", [-1]))
        logits = self._scored(rows, self._padded_layout(input_ids, seq_lens), pairs)
        return self._model([input_ids, seq_lens], logits)

    def _scored(self, input_ids: ir.Value, layout: _Layout, pairs: ir.SymbolicDim) -> ir.Value:
        """FP32 [pairs] of the rows of tokens."""
        embedding = self._stored("model.embed_tokens.weight", transpose=False)
        hidden = self._fp32(self._op("Gather", embedding, input_ids))
        for layer in range(self.architecture.layers):
            prefix = f"model.layers.{layer}"
            normed = self._norm(hidden, f"{prefix}.input_layernorm.weight")
            attended = self._attention(normed, f"{prefix}.self_attn", layout)
            hidden = self._op("Add", hidden, self._fp32(attended))
            normed = self._norm(hidden, f"{prefix}.post_attention_layernorm.weight")
            hidden = self._op("Add", hidden, self._fp32(self._mlp(normed, f"{prefix}.mlp")))
        hidden = self._op("Identity", hidden, name="last_hidden")
        logits = self._logits(hidden, layout)
        logits.shape = ir.Shape([pairs])
        logits.type = ir.TensorType(ir.DataType.FLOAT)
        return logits

    def _model(self, inputs: Sequence[ir.Value], logits: ir.Value) -> ir.Model:
        graph = ir.Graph(
            inputs,
            [logits],
            nodes=self.tape.nodes,
            initializers=self.tape.initializers,
            opset_imports={
                "": OPSETS[self.attention_form],
                **({"com.microsoft": 1} if self.blockwise or self.precision == "int8" else {}),
            },
            name="packed_llama_cross_encoder",
        )
        return ir.Model(graph, ir_version=11, producer_name="packrank")

    def _layout(self, input_ids: ir.Value, seq_lens: ir.Value, max_len: ir.Value) -> _Layout:
        lengths = self._op("Cast", seq_lens, to=ir.DataType.INT64)
        ends = self._op("CumSum", lengths, self._constant("axis_0", 0))
        starts = self._op("Sub", ends, lengths)
        token_count = self._op("Shape", input_ids)
        longest = self._op("Shape", max_len)
        token = self._range(token_count)  # [tokens]
        # a token belongs to the pair whose number equals how many pairs ended at or before it
        ended = self._op("GreaterOrEqual", self._column(token), ends)  # [tokens, pairs]
        pair = self._op(
            "ReduceSum", self._op("Cast", ended, to=ir.DataType.INT64), self._constant("axes_1", [1]), keepdims=0
        )
        position = self._op("Sub", token, self._op("Gather", starts, pair))
        tokens_of_frames = self._op("Add", self._op("Mul", pair, longest), position)
        frame = self._range(longest)
        # frames beyond a pair's end show some other token, which is masked; the last must stay inside the array
        shown = self._op("Add", self._column(starts), frame)  # [pairs, longest]
        last_token = self._op("Sub", token_count, self._constant("one", [1]))
        shown = self._op("Min", shown, last_token)
        cosine, sine = rotation_tables(self.architecture, self.max_pair_tokens)
        return _Layout(
            cosine=self._rotation("rotation_cosine", cosine, position),
            sine=self._rotation("rotation_sine", sine, position),
            frames_of_tokens=self._op("Reshape", shown, self._constant("flat", [-1])),
            tokens_of_frames=tokens_of_frames,
            frame_shape=self._op("Concat", self._op("Shape", seq_lens), longest, self._constant("rest", [-1]), axis=0),
            is_token=self._op("Less", frame, self._column(lengths)),
            lengths=lengths,
            starts=starts,
            is_one_long_pair=self._is_one_long_pair(seq_lens, longest) if self.blockwise else None,
        )

    def _is_one_long_pair(self, seq_lens: ir.Value, longest: ir.Value) -> ir.Value:
        is_one = self._op("Equal", self._op("Shape", seq_lens), self._constant("one", [1]))
        least = self._constant("blockwise_from", [BLOCKWISE_FROM_TOKENS])
        return self._op("And", is_one, self._op("GreaterOrEqual", longest, least))

    def _padded_layout(self, input_ids: ir.Value, seq_lens: ir.Value) -> _Layout:
        lengths = self._op("Cast", seq_lens, to=ir.DataType.INT64)
        shape = self._op("Shape", input_ids)
        longest = self._op("Shape", input_ids, start=1)
        frame = self._range(longest)
        position = self._op("Reshape", self._op("Expand", frame, shape), self._constant("flat", [-1]))
        cosine, sine = rotation_tables(self.architecture, self.max_pair_tokens)
        return _Layout(
            cosine=self._rotation("rotation_cosine", cosine, position),
            sine=self._rotation("rotation_sine", sine, position),
            frames_of_tokens=None,
            tokens_of_frames=None,
            frame_shape=self._op("Concat", shape, self._constant("rest", [-1]), axis=0),
            is_token=self._op("Less", frame, self._column(lengths)),
            lengths=lengths,
            starts=self._op("Mul", self._range(self._op("Shape", seq_lens)), longest),
            is_one_long_pair=None,
        )

    def _rotation(self, name: str, table: NDArray[np.float32], position: ir.Value) -> ir.Value:
        # Gathered here and not by RotaryEmbedding's position_ids, which ONNX Runtime refuses when there are more
        # tokens than table rows, as in any packed batch.
        return self._op(
            "Unsqueeze", self._op("Gather", self._constant(name, table), position), self._constant("axes_0", [0])
        )

    def _norm(self, hidden: ir.Value, weight_name: str) -> ir.Value:
        """RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467) in fp32; returns the compute precision."""
        scale = self._constant(weight_name, self.weight(weight_name).astype(np.float32))
        normed = self._op("RMSNormalization", hidden, scale, axis=-1, epsilon=self.architecture.norm_epsilon)
        return self._computed(normed)

    def _attention(self, normed: ir.Value, prefix: str, layout: _Layout) -> ir.Value:
        heads, kv_heads = self.architecture.heads, self.architecture.kv_heads
        query, key, value = self._projected(normed, *(f"{prefix}.{part}_proj.weight" for part in "qkv"))
        query, key = self._rotated(query, heads, layout), self._rotated(key, kv_heads, layout)
        query, key, value = (self._framed(rows, layout) for rows in (query, key, value))
        ends = self._pair_ends(layout)
        width = self._constant("rows", [-1, heads * self.architecture.head_dim])

        def at_once() -> ir.Value:
            mixed = self._computed_op(
                "Attention",
                query,
                key,
                value,
                *ends,
                q_num_heads=heads,
                kv_num_heads=kv_heads,
                is_causal=int(self.architecture.causal),
            )
            return self._op("Reshape", mixed, width)

        if layout.is_one_long_pair is None:
            rows = at_once()
        else:
            blockwise = self._blockwise_attention(query, key, value, width)
            rows = self._op(
                "If",
                layout.is_one_long_pair,
                then_branch=self._branch(f"{prefix}.blockwise", blockwise),
                else_branch=self._branch(f"{prefix}.at_once", at_once),
            )
        if layout.tokens_of_frames is not None:
            rows = self._op("Gather", rows, layout.tokens_of_frames)
        (attended,) = self._projected(rows, f"{prefix}.o_proj.weight")
        return attended

    def _blockwise_attention(
        self, query: ir.Value, key: ir.Value, value: ir.Value, width: ir.Value
    ) -> Callable[[], ir.Value]:
        """As Attention without an end; each key and value head is repeated for the query heads that share it."""
        heads, kv_heads, head_dim = self.architecture.heads, self.architecture.kv_heads, self.architecture.head_dim
        by_head = self._constant("by_head", [0, 0, kv_heads, 1, head_dim])
        repeated = self._constant("repeated_heads", [1, 1, 1, heads // kv_heads, 1])
        flat = self._constant("flat_heads", [0, 0, heads * head_dim])

        def blockwise() -> ir.Value:
            keys_and_values = [
                self._op("Reshape", self._op("Expand", self._op("Reshape", rows, by_head), repeated), flat)
                for rows in (key, value)
            ]
            operands = [query, *keys_and_values]
            mixed = self.tape.op("MultiHeadAttention", operands, {"num_heads": heads}, domain="com.microsoft")
            return self._op("Reshape", mixed, width)

        return blockwise

    def _branch(self, name: str, build: Callable[[], ir.Value]) -> ir.Graph:
        """A graph without inputs, of what `build` writes; it reads the values of the graph around it."""
        around, self.tape = self.tape, ir.tape.Tape()
        output = build()
        inner, self.tape = self.tape, around
        for number, node in enumerate(inner.nodes):
            # no name may be that of a value outside
            node.name = node.outputs[0].name = f"{name}.{number}"
        output.type = ir.TensorType(self.dtype)
        return ir.Graph([], [output], nodes=inner.nodes, name=name)

    def _pair_ends(self, layout: _Layout) -> list[ir.Value | None]:
        """What Attention takes after query, key and value to look at no frame beyond a pair's end."""
        if self.architecture.causal:  # what lies beyond is in every token's future
            return []
        if self.attention_form == "lengths":
            return [None, None, None, layout.lengths]
        return [self._op("Unsqueeze", layout.is_token, self._constant("axes_1_2", [1, 2]))]

    def _rotated(self, rows: ir.Value, heads: int, layout: _Layout) -> ir.Value:
        one_sequence = self._op(
            "Unsqueeze", self._fp32(rows), self._constant("axes_0", [0])
        )  # [1, tokens, heads * dim]
        rotated = self._op("RotaryEmbedding", one_sequence, layout.cosine, layout.sine, num_heads=heads)
        return self._computed(self._op("Squeeze", rotated, self._constant("axes_0", [0])))

    def _framed(self, rows: ir.Value, layout: _Layout) -> ir.Value:
        if layout.frames_of_tokens is not None:
            rows = self._op("Gather", rows, layout.frames_of_tokens)
        return self._op("Reshape", rows, layout.frame_shape)

    def _mlp(self, normed: ir.Value, prefix: str) -> ir.Value:
        gate, up = self._projected(normed, f"{prefix}.gate_proj.weight", f"{prefix}.up_proj.weight")
        silu = self._computed_op("Mul", gate, self._computed_op("Sigmoid", gate))
        mixed = self._computed_op("Mul", silu, up)
        if self.precision == "int8":
            return self._int8_down_projected(mixed, f"{prefix}.down_proj.weight")
        (down,) = self._projected(mixed, f"{prefix}.down_proj.weight")
        return down

    def _logits(self, hidden: ir.Value, layout: _Layout) -> ir.Value:
        scale = self._constant("model.norm.weight", self.weight("model.norm.weight").astype(np.float32))
        normed = self._op("RMSNormalization", hidden, scale, axis=-1, epsilon=self.architecture.norm_epsilon)
        # The head is linear, so the mean of the tokens' scores is the score of the tokens' mean.
        head = self.weight("score.weight").astype(np.float32).T
        token_scores = self._op("MatMul", normed, self._constant("score.weight", head))  # [tokens, 1]
        if self.architecture.pooling == "last":
            ends = self._op("Add", layout.starts, layout.lengths)
            last = self._op("Sub", ends, self._constant("one", [1]))
            score = self._op("Squeeze", self._op("Gather", token_scores, last), self._constant("axes_1", [1]))
        else:
            framed = self._framed(token_scores, layout)  # [pairs, longest, 1]
            framed = self._op("Squeeze", framed, self._constant("axes_2", [2]))
            counted = self._op("Where", layout.is_token, framed, self._constant("zero", np.zeros(1, np.float32)))
            total = self._op("ReduceSum", counted, self._constant("axes_1", [1]), keepdims=0)
            score = self._op("Div", total, self._op("Cast", layout.lengths, to=ir.DataType.FLOAT))
        temperature = self._constant("temperature", np.full(1, self.architecture.temperature, np.float32))
        return self._op("Div", score, temperature, name="logits")

    def _projected(self, rows: ir.Value, *weight_names: str) -> list[ir.Value]:
        """The same rows through one projection or several."""
        if self.precision != "int8":
            return [self._computed_op("MatMul", rows, self._stored(name, transpose=True)) for name in weight_names]
        # DynamicQuantizeLinear would give all tokens one scale, in which those of a batch's largest token are lost
        largest = self._op("ReduceMax", self._op("Abs", rows), self._constant("axes_1", [1]), keepdims=1)
        size = self._op("Max", largest, self._constant("least_size", np.full(1, 1e-30, np.float32)))
        scale = self._constant("row_scale", np.array(1 / 127, np.float32))
        zero = self._constant("row_zero", np.array(128, np.uint8))
        quantised = self._op("QuantizeLinear", self._op("Div", rows, size), scale, zero)
        return [self._op("Mul", self._int8_product(quantised, scale, zero, name), size) for name in weight_names]

    def _int8_product(self, rows: ir.Value, scale: ir.Value, zero: ir.Value, weight_name: str) -> ir.Value:
        """UINT8 rows by an int8 weight, FP32 out."""
        known = self.int8[weight_name]
        weight = ir.Tensor(np.ascontiguousarray(known.integers.T), name=weight_name)
        scales = ir.Tensor(known.scales, name=f"{weight_name}.scale")
        operands = [rows, self.tape.initializer(weight), scale, self.tape.initializer(scales), zero]
        return self.tape.op("MatMulIntegerToFloat", operands, domain="com.microsoft")

    def _int8_down_projected(self, mixed: ir.Value, weight_name: str) -> ir.Value:
        # a few channels are hundreds of times larger than the others, which would vanish if they shared a scale with
        # them: turn the channels
        rotation = block_rotation(self.architecture.intermediate_size)
        blocks = self._op("Reshape", mixed, self._constant("as_blocks", [-1, len(rotation)]))
        turned = self._op("MatMul", blocks, self._constant("block_rotation", rotation))
        rows = self._op("Reshape", turned, self._constant("as_rows", [-1, self.architecture.intermediate_size]))
        (down,) = self._projected(rows, weight_name)
        return down

    def _stored(self, name: str, *, transpose: bool) -> ir.Value:
        """A large weight in the compute precision, read from the checkpoint when it is written, not before."""
        shape = self.architecture.weight_shapes()[name]
        dtype = self.dtype

        def read() -> ir.TensorProtocol:
            array = self.weight(name)
            oriented = np.ascontiguousarray(array.T) if transpose else array
            return ir.Tensor(oriented.astype(dtype.numpy()), name=name)

        lazy = ir.LazyTensor(read, dtype=dtype, shape=ir.Shape(shape[::-1] if transpose else shape), name=name)
        stored = self.tape.initializer(lazy)
        return self._op("Cast", stored, to=ir.DataType.FLOAT) if self.rounds else stored

    def _constant(self, name: str, value: int | Sequence[int] | NDArray[Any]) -> ir.Value:
        for known in self.tape.initializers:
            if known.name == name:
                return known
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.int64)
        return self.tape.initializer(ir.Tensor(array, name=name))

    def _range(self, count: ir.Value) -> ir.Value:
        limit = self._op("Squeeze", count)
        return self._op("Range", self._constant("axis_0", 0), limit, self._constant("step", 1))

    def _column(self, row: ir.Value) -> ir.Value:
        return self._op("Unsqueeze", row, self._constant("axes_1", [1]))

    def _fp32(self, value: ir.Value) -> ir.Value:
        """Leave the compute precision."""
        return self._op("Cast", value, to=ir.DataType.FLOAT) if self.casts else value

    def _computed(self, value: ir.Value) -> ir.Value:
        """Enter the compute precision, or round to it."""
        if self.casts:
            return self._op("Cast", value, to=self.dtype)
        if self.rounds:
            return self._op("Cast", self._op("Cast", value, to=self.dtype), to=ir.DataType.FLOAT)
        return value

    def _computed_op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Compute in the compute precision: inputs have it, the output too."""
        output = self._op(op_type, *inputs, **attributes)
        return self._computed(output) if self.rounds else output

    def _op(self, op_type: str, *inputs: ir.Value | None, name: str | None = None, **attributes: Any) -> ir.Value:
        output = self.tape.op(op_type, inputs, attributes)
        if name is not None:
            output.name = name
        return output


def _value(name: str, dtype: ir.DataType, *dimensions: ir.SymbolicDim) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(dimensions))
