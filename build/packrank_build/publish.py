"""A built and gated model -> the model repository, all or nothing."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packrank_backend.build_record import RECORD_FILE

# What each model's version directory receives. The record comes last: without it the other files are ignored.
PUBLISHED = {
    "tokenizer": ("tokenizer.json", RECORD_FILE),
    "ranker": ("model.onnx.data", "model.onnx", "parity.json", RECORD_FILE),
}


@contextlib.contextmanager
def staging_directory(repository: Path) -> Iterator[Path]:
    """Make a directory on the repository's own file system, so that publishing is renaming; removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=".staging-", dir=repository))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def publish(staging: Path, repository: Path, version: str = "1") -> None:
    """Move the staged files into the version directories.

    One rename replaces each file, so a running server keeps what it has mapped. If the machine stops between two
    renames, the two records name different builds and the server refuses to start on the mixture.
    """
    for model, names in PUBLISHED.items():
        target = repository / model / version
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name == RECORD_FILE:
                shutil.copy(staging / name, target / f"{name}.new")
                (target / f"{name}.new").replace(target / name)
            else:
                (staging / name).replace(target / name)
