"""The projections of a checkpoint as int8 weights, calibrated on text.

Layer by layer: what enters each projection of the rotated network (rotation.py) is collected over the calibration
pairs, its weights are rounded with it (gptq.py), and the following projections are calibrated on what the rounded ones
pass on. One projection's fp32 weights are in memory at a time, and the integers of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.prompt import pair_text
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.parity_pairs import declaration_articles
from packrank_build.graph.reference import attended, mlp_activations, rms_norm
from packrank_build.quantize.gptq import Int8Weight, rounded
from packrank_build.quantize.hadamard import RotatedWeights, block_rotation

# Without VNNI, x86 adds the products of two 8-bit pairs in 16 bits (VPMADDUBSW), which saturate without an error. Two
# products of a UINT8 and a weight of 7 bits fit (2 * 255 * 63 < 2^15), so the same model is exact on every processor:
# https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#data-type-selection
LARGEST = 63
CALIBRATION_TOKENS = 512  # of a pair

Rows = NDArray[np.float32]


def calibration_pairs(tokenizer: Tokenizer, max_pair_tokens: int) -> list[NDArray[np.int32]]:
    """Token ids of pairs in the model's 26 languages, and of English ones about this and that.

    None of the texts is in a set that scores are judged on.
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
    """Every projection of the rotated network by its usual name; `pairs` are token ids."""
    architecture = checkpoint.architecture
    weight = RotatedWeights(architecture, checkpoint.weight).weight
    blocks = block_rotation(architecture.intermediate_size)
    ones = np.ones(architecture.hidden_size, np.float32)  # norm weights are folded into the projections
    ends = np.cumsum([len(pair) for pair in pairs])[:-1]
    hidden = weight("model.embed_tokens.weight")[np.concatenate(pairs)]
    found: dict[str, Int8Weight] = {}
    for layer in range(architecture.layers):
        progress(f"rounding layer {layer + 1} of {architecture.layers}")
        prefix = f"model.layers.{layer}."

        def round_for(rows: Rows, *parts: str, prefix: str = prefix) -> list[Rows]:
            """Round the weights that read the rows, and pass the rows through them."""
            # as the ranker quantises them, every token counts the same
            sized = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30)
            second_moment = sized.T @ sized
            for part in parts:
                name = f"{prefix}{part}_proj.weight"
                found[name] = rounded(weight(name), second_moment, LARGEST)
            return [rows @ found[f"{prefix}{part}_proj.weight"].fp32().T for part in parts]

        normed = rms_norm(hidden, ones, architecture.norm_epsilon)
        projected = round_for(normed, "self_attn.q", "self_attn.k", "self_attn.v")
        of_pairs = zip(*(np.split(rows, ends) for rows in projected), strict=True)
        mixed = np.concatenate([attended(query, key, value, architecture) for query, key, value in of_pairs])
        hidden = hidden + round_for(mixed, "self_attn.o")[0]
        normed = rms_norm(hidden, ones, architecture.norm_epsilon)
        mixed = mlp_activations(*round_for(normed, "mlp.gate", "mlp.up"))
        turned = (mixed.reshape(len(mixed), -1, len(blocks)) @ blocks).reshape(mixed.shape)
        hidden = hidden + round_for(turned, "mlp.down")[0]
    return found
