"""Int8 projections: a pass over a written fp32 graph of rotated weights, and the calibration of its integers.

Weights have one scale per output channel. Activations are UINT8 with one scale per token, found while the graph runs:
no pair's score depends on what else is in the batch. Each projection becomes one com.microsoft.MatMulIntegerToFloat,
which only ONNX Runtime has. Attention and everything else stay in fp32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.text.prompt import pair_text
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.ops import Ops
from packrank_build.graph.parity_pairs import declaration_articles
from packrank_build.graph.reference import attention, mlp_activations, rms_norm
from packrank_build.quantize.gptq import Int8Weight, rounded
from packrank_build.quantize.hadamard import RotatedWeights, block_hadamard
from packrank_build.quantize.projections import finish, projections

# Without VNNI, x86 adds the products of two 8-bit pairs in 16 bits (VPMADDUBSW), which saturate without an error. Two
# products of a UINT8 and a weight of 7 bits fit (2 * 255 * 63 < 2^15). So the same model is exact on every processor:
# https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#data-type-selection
LARGEST = 63
CALIBRATION_TOKENS = 512  # per pair

Rows = NDArray[np.float32]


def int8_graph(model: ir.Model, weights: Mapping[str, Int8Weight]) -> ir.Model:
    """Quantise both operands of every projection of an fp32 graph, in place.

    The graph must be one of `RotatedWeights`, and `weights` those of `int8_weights`.
    """
    op = Ops(model.graph)
    # query, key and value read the same rows, and so do gate and up
    quantised: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
    # rows are divided by their largest |value|, so steps of 1/127 around 128 fit UINT8
    scale = op.constant("int8_row_scale", np.array(1 / 127, np.float32))
    zero = op.constant("int8_row_zero", np.array(128, np.uint8))
    for projection in projections(model):
        rows, name = projection.activation, projection.name
        int8_weight = weights[name]
        if rows not in quantised:
            width = int8_weight.integers.shape[1]
            spread = _hadamard_blocks(op, rows, width) if name.endswith("down_proj.weight") else rows
            quantised[rows] = _quantised_rows(op, spread, scale, zero)
        integers, divisor = quantised[rows]
        weight = op.constant(f"{name}.int8", np.ascontiguousarray(int8_weight.integers.T))
        weight_scale = op.constant(f"{name}.scale", int8_weight.scales)
        operands = (integers, weight, scale, weight_scale, zero)
        product = op.node("MatMulIntegerToFloat", *operands, domain="com.microsoft")
        ir.convenience.replace_all_uses_with(projection.matmul.outputs[0], op.Mul(product, divisor))
        model.graph.remove(projection.matmul, safe=True)
    return finish(model)


def _quantised_rows(op: Ops, rows: ir.Value, scale: ir.Value, zero: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quantise each row to UINT8. Also returns its divisor, its largest |value|: FP32 [tokens, 1].

    DynamicQuantizeLinear would give all tokens one scale, in which small tokens beside a large one are lost.
    """
    largest = op.ReduceMax(op.Abs(rows), [1], keepdims=1)
    divisor = op.Max(largest, op.constant("int8_least_size", np.full(1, 1e-30, np.float32)))
    return op.QuantizeLinear(op.Div(rows, divisor), scale, zero), divisor


def _hadamard_blocks(op: Ops, rows: ir.Value, width: int) -> ir.Value:
    """Spread the few channels of down_proj's input that are hundreds of times larger than the others.

    All channels of a token share one scale, so the smaller ones would vanish.
    """
    hadamard = block_hadamard(width)
    blocks = op.MatMul(op.Reshape(rows, [-1, len(hadamard)]), op.constant("block_hadamard", hadamard))
    return op.Reshape(blocks, [-1, width])


def calibration_pairs(tokenizer: Tokenizer, max_pair_tokens: int) -> list[NDArray[np.int32]]:
    """Tokenise pairs in the model's 26 languages, and English ones on everyday subjects.

    No evaluation set contains any of these texts.
    """
    rows = json.loads(Path(__file__).with_name("calibration_pairs.json").read_text(encoding="utf-8"))
    texts = [(row["query"], row["passage"]) for row in rows]
    for articles in declaration_articles().values():
        texts += [(articles["3"], articles["1"]), (articles["1"], articles["26"])]
    limit = min(max_pair_tokens, CALIBRATION_TOKENS)
    encoded = [tokenizer.encode(pair_text(query, passage)).ids[:limit] for query, passage in texts]
    return [np.array(ids, np.int32) for ids in encoded]


def int8_weights(
    checkpoint: Checkpoint, pairs: Sequence[NDArray[np.int32]], progress: Callable[[str], None] = lambda _: None
) -> dict[str, Int8Weight]:
    """Round every projection of the rotated network, calibrated on `pairs` of token ids; keys are the usual names.

    Layer by layer, GPTQ rounds each projection with the activations that enter it. Later projections see the
    activations that the rounded ones pass on. In memory are
    one projection's fp32 weights and all integers.
    """
    architecture = checkpoint.architecture
    weight = RotatedWeights(architecture, checkpoint.weight).weight
    blocks = block_hadamard(architecture.intermediate_size)
    ones = np.ones(architecture.hidden_size, np.float32)  # norm weights are folded into the projections
    ends = np.cumsum([len(pair) for pair in pairs])[:-1]
    hidden = weight("model.embed_tokens.weight")[np.concatenate(pairs)]
    found: dict[str, Int8Weight] = {}
    for layer in range(architecture.layers):
        progress(f"rounding layer {layer + 1} of {architecture.layers}")
        prefix = f"model.layers.{layer}."

        def round_for(rows: Rows, *parts: str, prefix: str = prefix) -> list[Rows]:
            """Round the weights that read the rows, and pass the rows through them."""
            # divided as the graph divides them, so every token counts the same
            sized = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30)
            second_moment = sized.T @ sized
            for part in parts:
                name = f"{prefix}{part}_proj.weight"
                found[name] = rounded(weight(name), second_moment, LARGEST)
            return [rows @ found[f"{prefix}{part}_proj.weight"].fp32().T for part in parts]

        normed = rms_norm(hidden, ones, architecture.norm_epsilon)
        projected = round_for(normed, "self_attn.q", "self_attn.k", "self_attn.v")
        of_pairs = zip(*(np.split(rows, ends) for rows in projected), strict=True)
        mixed = np.concatenate([attention(query, key, value, architecture) for query, key, value in of_pairs])
        hidden = hidden + round_for(mixed, "self_attn.o")[0]
        normed = rms_norm(hidden, ones, architecture.norm_epsilon)
        mixed = mlp_activations(*round_for(normed, "mlp.gate", "mlp.up"))
        spread = (mixed.reshape(len(mixed), -1, len(blocks)) @ blocks).reshape(mixed.shape)
        hidden = hidden + round_for(spread, "mlp.down")[0]
    return found
