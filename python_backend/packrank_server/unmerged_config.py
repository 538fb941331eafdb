"""What the server does where Triton cannot count tokens: no merging at all."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

# Triton loads a library of this name from a model's version directory.
LIBRARY_FILE = "batchstrategy.so"
MISSING_LIBRARY = f"Without {LIBRARY_FILE} the ranker runs one request at a time."


def has_batching_strategy(repository: Path, version: str = "1") -> bool:
    """Whether the ranker's version directory holds the library that keeps merged batches within their limits."""
    return (repository / "ranker" / version / LIBRARY_FILE).is_file()


def write_unmerged_config(repository: Path, config_name: str) -> str:
    """Write a twin of the ranker's config that merges no requests; returns the name it is served under.

    Triton by itself limits a batch only by its number of requests. One request is the only number that is safe for
    every mixture of lengths, since a single request may already be as large as a batch may get. Raises OSError.
    """
    configs = repository / "ranker" / "configs"
    named = configs / f"{config_name}.pbtxt"
    original = named if named.is_file() else repository / "ranker" / "config.pbtxt"
    config = text_format.Parse(original.read_text(encoding="utf-8"), ModelConfig())
    config.ClearField("dynamic_batching")
    unmerged = f"{config_name}-unmerged"
    configs.mkdir(exist_ok=True)
    (configs / f"{unmerged}.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    return unmerged
