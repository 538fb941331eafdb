"""A seeded random checkpoint of Llama-3.2-1B's shape, written where it is measured: 2.5 GB need not travel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from packrank_build.checkpoint.architecture import architecture_from_config
from tests.support.random_checkpoint import config_of_shape


def write_checkpoint(directory: Path, tokenizer: Path, shape: str, device: torch.device) -> None:
    """Write config, tokenizer and bf16 weights. Scales keep activations near 1 and logits a few units apart."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config_of_shape(shape), indent=2), encoding="utf-8")
    shutil.copy(tokenizer, directory / "tokenizer.json")
    generator = torch.Generator(device).manual_seed(0)
    weights = {}
    for name, size in architecture_from_config(directory).weight_shapes().items():
        values = torch.randn(size, generator=generator, device=device)
        if len(size) == 1:
            values = 1 + 0.1 * values
        elif not name.startswith(("model.embed", "score")):
            values /= size[1] ** 0.5
        weights[name] = values.to(torch.bfloat16).cpu()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
