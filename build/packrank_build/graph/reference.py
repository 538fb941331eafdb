"""The textbook forward pass in numpy, fp32, one pair at a time: every other path must reproduce it.

It shares only the checkpoint and RoPE's frequencies with the packed graph: no packing, no padding, no length masks. Its
code for RoPE is its own. Llama as in Touvron et al. 2023 (arXiv:2302.13971); grouped heads as in Ainslie et al. 2023
(arXiv:2305.13245); mean pooling, score head and temperature as in NVIDIA's llama-3.2-nv-rerankqa-1b-v2 model card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.rope import inverse_frequencies

Matrix = NDArray[np.float32]


def reference_logits(
    checkpoint: Checkpoint,
    pairs: Sequence[Sequence[int] | NDArray[np.int32]],
    progress: Callable[[str], None] = lambda _: None,
) -> Matrix:
    """Score each pair of token ids: logits FP32 [pairs]."""
    hidden = final_hidden_states(checkpoint, pairs, progress)
    head = checkpoint.weight_fp32("score.weight")
    scale = checkpoint.weight_fp32("model.norm.weight")
    architecture = checkpoint.architecture
    logits = []
    for states in hidden:
        normed = rms_norm(states, scale, architecture.norm_epsilon)
        pooled = normed[-1] if architecture.pooling == "last" else normed.mean(axis=0)
        logits.append((head @ pooled)[0] / np.float32(architecture.temperature))
    return np.array(logits, np.float32)


def final_hidden_states(
    checkpoint: Checkpoint,
    pairs: Sequence[Sequence[int] | NDArray[np.int32]],
    progress: Callable[[str], None] = lambda _: None,
) -> list[Matrix]:
    """Compute the residual stream after the last layer, before the final norm: FP32 [tokens, hidden_size] per pair.

    Layers are the outer loop, so that only one layer's weights are in memory.
    """
    embedding = checkpoint.weight("model.embed_tokens.weight")
    hidden = [embedding[np.asarray(pair)].astype(np.float32) for pair in pairs]
    del embedding
    for layer in range(checkpoint.architecture.layers):
        progress(f"reference layer {layer + 1} of {checkpoint.architecture.layers}")
        prefix = f"model.layers.{layer}."
        weights = {
            name.removeprefix(prefix).removesuffix(".weight"): checkpoint.weight_fp32(name)
            for name in checkpoint.architecture.weight_shapes()
            if name.startswith(prefix)
        }
        hidden = [_layer(states, weights, checkpoint.architecture) for states in hidden]
    return hidden


def _layer(hidden: Matrix, weights: dict[str, Matrix], architecture: Architecture) -> Matrix:
    epsilon = architecture.norm_epsilon
    normed = rms_norm(hidden, weights["input_layernorm"], epsilon)
    query, key, value = (normed @ weights[f"self_attn.{part}_proj"].T for part in "qkv")
    hidden = hidden + attention(query, key, value, architecture) @ weights["self_attn.o_proj"].T
    normed = rms_norm(hidden, weights["post_attention_layernorm"], epsilon)
    gate = normed @ weights["mlp.gate_proj"].T
    up = normed @ weights["mlp.up_proj"].T
    mixed: Matrix = mlp_activations(gate, up) @ weights["mlp.down_proj"].T
    return hidden + mixed


def attention(query: Matrix, key: Matrix, value: Matrix, architecture: Architecture) -> Matrix:
    """Attend within one pair, from its projected tokens: FP32 [tokens, heads * head_dim]."""
    tokens = len(query)
    queries = query.reshape(tokens, architecture.heads, architecture.head_dim)
    keys = key.reshape(tokens, architecture.kv_heads, architecture.head_dim)
    values = value.reshape(tokens, architecture.kv_heads, architecture.head_dim)
    queries, keys = _rope(queries, architecture), _rope(keys, architecture)
    heads_per_group = architecture.heads // architecture.kv_heads
    mixed = np.empty_like(queries)
    for head in range(architecture.heads):
        group = head // heads_per_group
        weights = queries[:, head] @ keys[:, group].T / np.sqrt(np.float32(architecture.head_dim))
        if architecture.causal:
            weights[~np.tri(tokens, dtype=bool)] = -np.inf
        mixed[:, head] = _softmax(weights) @ values[:, group]
    return mixed.reshape(tokens, -1)


def _rope(vectors: Matrix, architecture: Architecture) -> Matrix:
    """Rotate channel i against channel i + head_dim / 2 (Hugging Face's order) by position x frequency."""
    angles = np.arange(len(vectors), dtype=np.float32)[:, None] * inverse_frequencies(architecture)
    cosine, sine = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    first, second = np.split(vectors, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def rms_norm(hidden: Matrix, scale: Matrix, epsilon: float) -> Matrix:
    """RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467) of each token: FP32 [tokens, hidden_size]."""
    mean_square = np.mean(np.square(hidden), axis=-1, keepdims=True)
    normed: Matrix = hidden / np.sqrt(mean_square + np.float32(epsilon)) * scale
    return normed


def mlp_activations(gate: Matrix, up: Matrix) -> Matrix:
    """silu(gate) * up (SwiGLU, Shazeer 2020, arXiv:2002.05202): FP32 [tokens, intermediate_size]."""
    # exp overflows to inf for very negative values, where silu is 0 as it should be
    with np.errstate(over="ignore"):
        activated: Matrix = gate / (1 + np.exp(-gate)) * up
    return activated


def _softmax(values: Matrix) -> Matrix:
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    normalised: Matrix = shifted / shifted.sum(axis=-1, keepdims=True)
    return normalised
