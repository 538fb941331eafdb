"""A checkpoint on disk: its architecture, and its weights read one at a time and strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (registers bf16 with numpy, which safetensors asks for by name)
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from packrank_build.checkpoint.architecture import Architecture, UnsupportedCheckpoint, architecture_from_config

# Saved by old versions of transformers although it is computed from the config, not learned.
DERIVED_WEIGHTS = ("rotary_emb.inv_freq",)


class Checkpoint:
    """Weights of a Hugging Face checkpoint directory (`config.json`, `*.safetensors`, `tokenizer.json`).

    One weight at a time is in memory. Raises UnsupportedCheckpoint when a weight of the architecture is missing or has
    another shape. A weight that the architecture does not know is refused too, since it would be silently unused.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.architecture: Architecture = architecture_from_config(directory)
        self.weight_files = _weight_files(directory)
        self._files: dict[str, Path] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for path in self.weight_files:
            with _opened(path) as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    if not name.endswith(DERIVED_WEIGHTS):
                        self._files[name] = path
                        shapes[name] = tuple(opened.get_slice(name).get_shape())
        expected = self.architecture.weight_shapes()
        missing = sorted(expected.keys() - shapes.keys())
        unexpected = sorted(shapes.keys() - expected.keys())
        if missing or unexpected:
            raise UnsupportedCheckpoint(
                f"{directory}: missing weights: {_some(missing)}; unexpected weights: {_some(unexpected)}."
            )
        for name, shape in expected.items():
            if shapes[name] != shape:
                raise UnsupportedCheckpoint(f"{directory}: {name} has shape {shapes[name]}, config.json says {shape}.")

    def weight(self, name: str) -> NDArray[Any]:
        """Read one weight in the checkpoint's own dtype and orientation (projections are [out, in])."""
        # opened each time: the pages of a file that stays mapped would add up to the whole checkpoint
        with _opened(self._files[name]) as opened:
            stored: NDArray[Any] = opened.get_tensor(name)
        return stored

    def weight_fp32(self, name: str) -> NDArray[np.float32]:
        """Read one weight as FP32, without loss: fp32 represents every bf16 and fp16 value."""
        return self.weight(name).astype(np.float32)

    def sha256(self, progress: Callable[[str], None] = lambda _: None) -> str:
        """Hash config, tokenizer and weight files: the checkpoint's identity where no hub revision exists."""
        digest = hashlib.sha256()
        for path in (self.directory / "config.json", self.directory / "tokenizer.json", *self.weight_files):
            progress(f"hashing {path.name}")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def _opened(path: Path) -> Any:
    return safe_open(path, framework="numpy")


def _weight_files(directory: Path) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    for name in names:
        if not (directory / name).is_file():
            raise UnsupportedCheckpoint(f"{directory} lacks {name}: the weights must be in safetensors format.")
    return [directory / name for name in names]


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
