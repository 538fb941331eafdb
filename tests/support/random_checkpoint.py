"""Seeded random checkpoints of a real architecture, for tests and checks."""

from __future__ import annotations

import argparse
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from packrank_build.checkpoint.architecture import BIDIRECTIONAL, Architecture, architecture_from_config

# The values of NVIDIA's llama-3.2-nv-rerankqa-1b-v2. Its sizes, and smaller ones, are in SHAPES.
_COMMON: dict[str, Any] = {
    "architectures": [BIDIRECTIONAL],
    "model_type": "llama_bidirec",
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "id2label": {"0": "LABEL_0"},
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "pad_token_id": 128009,
    "pooling": "avg",
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "temperature": 1.0,
    "vocab_size": 128256,
}
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3.2-1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}


def config_of_shape(shape: str, **overrides: Any) -> dict[str, Any]:
    """Content of a random checkpoint's `config.json`."""
    return _COMMON | SHAPES[shape] | overrides


def random_architecture(shape: str, **overrides: Any) -> Architecture:
    """The architecture of a random model without a checkpoint on disk."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.json").write_text(json.dumps(config_of_shape(shape, **overrides)), encoding="utf-8")
        return architecture_from_config(Path(directory))


def write_random_checkpoint(
    directory: Path, tokenizer: Path, shape: str, *, seed: int = 0, **overrides: Any
) -> Architecture:
    """Write config, tokenizer and weights (bf16, one file a layer) of a random model; returns its architecture.

    The same seed gives the same bytes on every machine: numpy's legacy generator is frozen. Scales keep
    activations near 1 and logits a few units apart. `overrides` replace entries of `config.json`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = config_of_shape(shape, **overrides)
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (directory / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    architecture = architecture_from_config(directory)
    files: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, weight_shape in architecture.weight_shapes().items():
        part = name.split(".")[2] if name.startswith("model.layers") else name.split(".")[-2]
        files.setdefault(f"model-{part}.safetensors", {})[name] = weight_shape
    total_bytes = 0
    for file, shapes in files.items():
        weights = {name: random_weight(name, shape, seed) for name, shape in shapes.items()}
        total_bytes += sum(weight.nbytes for weight in weights.values())
        save_file(weights, directory / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": total_bytes},
        "weight_map": {name: file for file, shapes in files.items() for name in shapes},
    }
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return architecture


def random_weight(name: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    """Draw one weight in bf16; equal name, shape and seed give equal values."""
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    if len(shape) == 1:  # norms
        return (1 + 0.1 * random.standard_normal(shape)).astype(ml_dtypes.bfloat16)
    scale = 1.0 if name.startswith(("model.embed", "score")) else 1.0 / np.sqrt(shape[1])
    rows = [random.standard_normal((min(4096, shape[0] - start), shape[1])) for start in range(0, shape[0], 4096)]
    return np.concatenate([(scale * part).astype(ml_dtypes.bfloat16) for part in rows])


def main() -> None:
    """Command line: write a random checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a Llama 3 tokenizer.json")
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_random_checkpoint(options.directory, options.tokenizer, options.shape, seed=options.seed)


if __name__ == "__main__":
    main()
