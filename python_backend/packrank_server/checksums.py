"""Check published files against the SHA-256 that their build recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from packrank_backend.build_record import RECORD_FILE, StaleBuild, read_build_record
from packrank_server.engine.engine_record import configured_plan, read_engine_record

TOKENIZER_FILE = "tokenizer.json"


def require_intact_files(repository: Path, config_name: str) -> None:
    """Refuse files that are not the ones that passed the parity gate: damaged weights give wrong scores silently.

    Checks every published version: the tokenizer, and the weights that `config_name` loads, which are the ONNX files
    or a TensorRT plan. Raises StaleBuild that names the file and the remedy.
    """
    for path, sha256, remedy in _recorded_files(repository, config_name):
        if not path.is_file():
            raise StaleBuild(f"{path} does not exist, but its build recorded it. {remedy}")
        found = file_sha256(path)
        if found != sha256:
            raise StaleBuild(
                f"{path} has changed since it was built: its SHA-256 is {found[:16]}…, the build recorded "
                f"{sha256[:16]}…. A copy or a disk damaged it, or someone replaced it. {remedy}"
            )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded_files(repository: Path, config_name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield path, SHA-256 and remedy of each file."""
    for record_path in sorted(repository.glob(f"tokenizer/[1-9]*/{RECORD_FILE}")):
        version = record_path.parent.name
        tokenizer, ranker = record_path.parent, repository / "ranker" / version
        files = dict(read_build_record(tokenizer).files)
        rebuild = "Run `make model` again." if version == "1" else f"Run `make model VERSION={version}` again."
        yield tokenizer / TOKENIZER_FILE, files.pop(TOKENIZER_FILE), rebuild
        planned = configured_plan(repository, config_name, version)
        if planned is None:
            yield from ((ranker / name, sha256, rebuild) for name, sha256 in files.items())
        else:
            plan = planned[1]
            yield plan, read_engine_record(plan).plan_sha256, f"Run `make engine TARGET={config_name}` again."
