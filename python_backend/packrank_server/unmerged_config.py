"""The ranker's config for a server that cannot count tokens: no request is merged with another."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from packrank_server.ranker_config import read_ranker_config

# Triton loads a library of this name from a model's version directory.
LIBRARY_FILE = "batchstrategy.so"
MISSING_LIBRARY = f"Without {LIBRARY_FILE} the ranker runs one request at a time."


def has_batching_strategy(repository: Path, version: str = "1") -> bool:
    """Whether the ranker's version directory holds the library that limits merged batches by tokens."""
    return (repository / "ranker" / version / LIBRARY_FILE).is_file()


def write_unmerged_config(repository: Path, config_name: str) -> str:
    """Write a twin of the ranker's config that merges no requests. Return the name to serve it under.

    On its own, Triton limits a batch only by its number of requests. One is the only number that is safe for every
    mixture of lengths, because a single request may already be as large as a batch may get. Raises OSError.
    """
    config = read_ranker_config(repository, config_name)
    config.ClearField("dynamic_batching")
    unmerged = f"{config_name}-unmerged"
    configs = repository / "ranker" / "configs"
    configs.mkdir(exist_ok=True)
    (configs / f"{unmerged}.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    return unmerged
