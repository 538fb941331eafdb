"""Compiles batchstrategy.c into batchstrategy.so beside the ranker, with the machine's C compiler."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packrank_server.unmerged_config import LIBRARY_FILE, MISSING_LIBRARY

SOURCE = Path(__file__).with_name("batchstrategy.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")


class CompileError(Exception):
    """The batching strategy could not be compiled; the message says why and what to do."""


def compile_batching_strategy(version_directory: Path) -> Path:
    """Compile the strategy into a version directory of the ranker and return the library's path.

    The compiler is $CC or the first of COMPILERS on PATH. One rename replaces the library, so a running server keeps
    the one that it has loaded. Raises CompileError.
    """
    names = [os.environ["CC"]] if os.environ.get("CC") else COMPILERS
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise CompileError(
            f"no C compiler ({', '.join(names)}): install one, e.g. `sudo apt-get install gcc libc6-dev`."
        )
    version_directory.mkdir(parents=True, exist_ok=True)
    library = version_directory / LIBRARY_FILE
    with tempfile.TemporaryDirectory(prefix=".compiled-", dir=version_directory) as directory:
        draft = Path(directory, LIBRARY_FILE)
        done = subprocess.run(
            [compiler, *FLAGS, "-o", str(draft), str(SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), f"exit {done.returncode}")
            raise CompileError(f"{compiler} cannot compile {SOURCE.name} ({reason.strip()}): is libc6-dev installed?")
        draft.replace(library)
    return library


def main() -> int:
    """Command line. A machine that cannot compile can still serve, so it gets a warning and no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version_directory", type=Path)
    options = parser.parse_args()
    try:
        compile_batching_strategy(options.version_directory)
    except CompileError as error:
        print(f"{error} {MISSING_LIBRARY}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
