"""What `make model` writes beside the files it publishes, and what the server reads back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RECORD_FILE = "build.json"
# Raise it whenever files that an older version published can no longer be served, for example after an input of the
# graph was renamed. It is part of every build id, so engines of older versions become stale too.
FORMAT = 3


class StaleBuild(Exception):
    """The published files cannot be served; the message says why and what to run."""


@dataclass(frozen=True)
class BuildRecord:
    """Facts of one build; the same record lies in the tokenizer's and in the ranker's version directory.

    `build_id` ties the two together. If `notice` is not empty, everyone who reads scores must see it. `source` is a
    directory or hub id, `revision` the hub's commit or the checkpoint's SHA-256.
    """

    build_id: str
    source: str
    revision: str
    architecture: dict[str, Any]
    precision: str
    opset: int
    prompt: str
    max_pair_tokens: int
    notice: str
    versions: dict[str, str]
    files: dict[str, str]  # name -> SHA-256
    format: int = FORMAT

    def write(self, directory: Path) -> None:
        """Write the record into a version directory."""
        (directory / RECORD_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def read_build_record(version_directory: Path) -> BuildRecord:
    """Read the record of a published model. Raises StaleBuild if there is none or it is of another format."""
    path = version_directory / RECORD_FILE
    if not path.is_file():
        raise StaleBuild(f"{path} does not exist: no model has been built. Run `make model`.")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record.get("format") != FORMAT:
        raise StaleBuild(
            f"{path} has format {record.get('format')}, but this version of packrank reads {FORMAT}: the model was "
            f"built by another version, from {record.get('source')}. Run `make model` again."
        )
    return BuildRecord(**record)


def require_same_build(record: BuildRecord, other_version_directory: Path) -> None:
    """Refuse a tokenizer and a ranker of different builds: their token ids need not mean the same."""
    other = read_build_record(other_version_directory)
    if other.build_id != record.build_id:
        raise StaleBuild(
            f"{other_version_directory} is of build {other.build_id}, its partner of build {record.build_id}: "
            "publishing was interrupted. Run `make model` again."
        )
