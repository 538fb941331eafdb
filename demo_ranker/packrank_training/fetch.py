"""Fetch the training texts: Debian's package index and the packages of sources.py, unpacked but not installed.

python -m packrank_training.fetch .cache/training

Needs apt-get on Debian 12 (bookworm), which has these packages. Needs no root.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from packrank_training.sources import HELD_OUT_PACKAGES, SOURCES


def fetch_lists(directory: Path) -> list[str]:
    """Download apt's lists with English descriptions into `directory`.

    Returns the apt-get options that use these lists.
    """
    (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        # Run by root, apt-get would otherwise download as _apt and warn that it cannot write here.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "en",
        "Dir::State::Lists": str((directory / "lists").resolve()),
        "Dir::Cache": str(directory.resolve()),
    }
    arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", "-q", *arguments, "update"], check=True)
    return arguments


def fetch_package(name: str, options: list[str], directory: Path) -> None:
    """Unpack a package into `directory`, unless that exists."""
    if directory.is_dir():
        return
    with tempfile.TemporaryDirectory() as download:
        subprocess.run(["apt-get", "-q", *options, "download", name], cwd=download, check=True)
        (package,) = Path(download).glob("*.deb")
        draft = directory.with_name(directory.name + ".draft")
        subprocess.run(["dpkg", "-x", str(package), str(draft)], check=True)
        draft.rename(directory)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    options = fetch_lists(directory)
    (directory / "unpacked").mkdir(exist_ok=True)
    for name in sorted({source.package for source in SOURCES} | set(HELD_OUT_PACKAGES)):
        fetch_package(name, options, directory / "unpacked" / name)


if __name__ == "__main__":
    main()
