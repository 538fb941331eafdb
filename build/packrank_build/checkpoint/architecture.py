"""What a checkpoint's `config.json` says about the network, read strictly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BIDIRECTIONAL = "LlamaBidirectionalForSequenceClassification"
PLAIN = "LlamaForSequenceClassification"


class UnsupportedCheckpoint(Exception):
    """The packed graph cannot compute this checkpoint exactly; the message says what is unsupported."""


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's frequency scaling (`rope_type: llama3`), as defined by the Llama 3.1 reference code."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True)
class Architecture:
    """Shape and constants of a Llama cross-encoder with a one-logit head.

    `causal` and `pooling` follow the checkpoint's class. NVIDIA's LlamaBidirectionalForSequenceClassification attends
    in both directions and averages all tokens. transformers' LlamaForSequenceClassification reads the last token and
    is causal, unless its config says `is_causal: false`. The logit is score / `temperature`.
    """

    class_name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    max_positions: int
    causal: bool
    pooling: Literal["avg", "last"]
    temperature: float

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Map every weight's Hugging Face name to its shape ([out, in] for projections)."""
        q, kv, d, ff = (
            self.heads * self.head_dim,
            self.kv_heads * self.head_dim,
            self.hidden_size,
            self.intermediate_size,
        )
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}"
            shapes |= {
                f"{prefix}.input_layernorm.weight": (d,),
                f"{prefix}.self_attn.q_proj.weight": (q, d),
                f"{prefix}.self_attn.k_proj.weight": (kv, d),
                f"{prefix}.self_attn.v_proj.weight": (kv, d),
                f"{prefix}.self_attn.o_proj.weight": (d, q),
                f"{prefix}.post_attention_layernorm.weight": (d,),
                f"{prefix}.mlp.gate_proj.weight": (ff, d),
                f"{prefix}.mlp.up_proj.weight": (ff, d),
                f"{prefix}.mlp.down_proj.weight": (d, ff),
            }
        return shapes | {"model.norm.weight": (d,), "score.weight": (1, d)}


def architecture_from_config(directory: Path) -> Architecture:
    """Read `config.json` of a checkpoint directory.

    Raises UnsupportedCheckpoint for anything that the packed graph would not compute exactly as transformers does.
    A setting that changes scores is never ignored.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise UnsupportedCheckpoint(f"{directory} has no config.json: give a checkpoint directory or a hub id.")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsupportedCheckpoint(f"{path} is not valid JSON: {error}") from error
    class_name = (config.get("architectures") or ["none"])[0]
    if class_name not in (BIDIRECTIONAL, PLAIN):
        raise UnsupportedCheckpoint(f"architectures is {class_name}; supported are {BIDIRECTIONAL} and {PLAIN}.")
    bidirectional = class_name == BIDIRECTIONAL
    _require(config, "hidden_act", "silu", default="silu")
    _require(config, "attention_bias", False, default=False)
    _require(config, "mlp_bias", False, default=False)
    if bidirectional:
        _require(config, "pooling", "avg")
    labels = config.get("id2label")
    if labels is not None and len(labels) != 1:
        raise UnsupportedCheckpoint(f"id2label has {len(labels)} labels; a reranker has exactly one.")
    # transformers 5 writes rope_parameters; earlier versions rope_theta and rope_scaling
    rope = config.get("rope_parameters") or (config.get("rope_scaling") or {})
    try:
        hidden_size, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return Architecture(
            class_name=class_name,
            vocab_size=int(config["vocab_size"]),
            hidden_size=hidden_size,
            intermediate_size=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden_size // heads),
            norm_epsilon=float(config["rms_norm_eps"]),
            rope_theta=float(rope.get("rope_theta") or config["rope_theta"]),
            rope_scaling=_rope_scaling(rope),
            max_positions=int(config["max_position_embeddings"]),
            causal=not bidirectional and bool(config.get("is_causal", True)),
            pooling="avg" if bidirectional else "last",
            temperature=float(config["temperature"]) if bidirectional else 1.0,
        )
    except KeyError as error:
        raise UnsupportedCheckpoint(f"{path} lacks {error}, which the scores depend on.") from error


def _require(config: dict[str, Any], key: str, expected: object, **default: object) -> None:
    value = config.get(key, default.get("default"))
    if value != expected:
        raise UnsupportedCheckpoint(f"config.json has {key}={value!r}; only {expected!r} is supported.")


def _rope_scaling(rope: dict[str, Any]) -> RopeScaling | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind != "llama3":
        raise UnsupportedCheckpoint(f"rope_type is {kind!r}; supported are 'default' and 'llama3'.")
    return RopeScaling(
        factor=float(rope["factor"]),
        low_freq_factor=float(rope["low_freq_factor"]),
        high_freq_factor=float(rope["high_freq_factor"]),
        original_max_positions=int(rope["original_max_position_embeddings"]),
    )
