"""The repository that a container serves: this image's code, and links to what was built elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

# Code comes from the image only; every other file of a version directory was built.
CODE_SUFFIXES = frozenset({".py", ".so", ".pbtxt"})


def compose_repository(code: Path, artefacts: Path, directory: Path) -> Path:
    """Make `directory` a model repository: a copy of `code`, and links to the built files in `artefacts`.

    `artefacts` has a model repository's layout. No file of it is changed, so it may be read-only, and servers of
    different versions may share it. Code that an earlier version left there is not used. Returns `directory`.
    """
    shutil.copytree(code, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for version in sorted(directory.glob("*/1")):
        for artefact in sorted((artefacts.absolute() / version.relative_to(directory)).glob("[!.]*")):
            if artefact.is_file() and artefact.suffix not in CODE_SUFFIXES:
                (version / artefact.name).symlink_to(artefact)
    return directory
