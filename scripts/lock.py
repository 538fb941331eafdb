"""Pins every package with its hashes: requirements/<name>.in -> requirements/<name>.lock.

One lock serves Python 3.11 to 3.13 (environment markers where they differ). Pins that still satisfy the .in
file are kept; `--upgrade` moves all of them to the newest release.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
UV = "0.13.9"
# in this order: each is constrained by one before it
WITH_DEPENDENCIES = ("serve", "gateway", "bench", "test", "clients", "e5")
ALONE = ("tritonserver", "default-model", "test-tokenizer", "perf-analyzer", "tensorrt-rtx", "engine")


def uv_binary() -> Path:
    """The locker, installed apart from the environment that it locks."""
    directory = ROOT / ".cache" / f"uv-{UV}"
    binary = directory / "bin" / "uv"
    if not binary.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), f"uv=={UV}"]
        subprocess.run(pip, check=True)
    return binary


def lock(name: str, options: list[str]) -> None:
    """Writes requirements/<name>.lock."""
    print(f"requirements/{name}.lock", flush=True)
    command = [str(uv_binary()), "--no-config", "pip", "compile", "--quiet"]
    command += ["--universal", "--generate-hashes"]
    # One version of each package for every Python, rather than the newest that each of them can run.
    command += ["--python-version", "3.11", "--fork-strategy", "fewest"]
    # A lock names no package index: pip's own configuration decides where packages come from.
    command += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"]
    command += [f"{name}.in", "--output-file", f"{name}.lock", *options]
    subprocess.run(command, check=True, cwd=REQUIREMENTS, stdout=subprocess.DEVNULL)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="move every pin to the newest release")
    options = ["--upgrade"] if parser.parse_args().upgrade else []
    for name in WITH_DEPENDENCIES:
        lock(name, options)
    for name in ALONE:
        lock(name, [*options, "--no-deps"])


if __name__ == "__main__":
    main()
