"""Copies of the committed model repository, for tests to build into."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = shutil.ignore_patterns(
    "*.onnx",
    "*.onnx.data",
    "*.json",
    "*.plan",
    "*.so",
    "*-unmerged.pbtxt",
    ".staging-*",
    "__pycache__",
    "[2-9]",
    "reranker_v*",
)


def empty_repository(directory: Path) -> Path:
    """Copy the model repository as committed: configs and model.py files, nothing built."""
    shutil.copytree(ROOT / "model_repository", directory, ignore=BUILT)
    return directory


def copied_repository(repository: Path, directory: Path) -> Path:
    """Copy a built repository, so that a test can change its configs or files."""
    shutil.copytree(repository, directory, ignore=shutil.ignore_patterns("__pycache__"))
    return directory
