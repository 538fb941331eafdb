"""Fetches the training texts: Debian's index of packages, and the packages of sources.py, unpacked and not installed.

python -m packrank_training.fetch .cache/training

Needs apt-get of a Debian release that has the packages (12, bookworm); no root.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from packrank_training.sources import HELD_OUT_PACKAGES, SOURCES


def fetch_lists(directory: Path) -> list[str]:
    """Downloads apt's lists with English descriptions into `directory`; returns the options that make apt use them."""
    (directory / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        "APT::Sandbox::User": "root",  # as whom a root's apt-get downloads; else it warns that it cannot write here
        "Acquire::Languages": "en",
        "Dir::State::Lists": str((directory / "lists").resolve()),
        "Dir::Cache": str(directory.resolve()),
    }
    arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", "-q", *arguments, "update"], check=True)
    return arguments


def fetch_package(name: str, options: list[str], directory: Path) -> None:
    """Unpacks a package into a directory of its own, unless that is there."""
    if directory.is_dir():
        return
    with tempfile.TemporaryDirectory() as download:
        subprocess.run(["apt-get", "-q", *options, "download", name], cwd=download, check=True)
        (package,) = Path(download).glob("*.deb")
        draft = directory.with_name(directory.name + ".draft")
        subprocess.run(["dpkg", "-x", str(package), str(draft)], check=True)
        draft.rename(directory)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    options = fetch_lists(directory)
    (directory / "unpacked").mkdir(exist_ok=True)
    for name in sorted({source.package for source in SOURCES} | set(HELD_OUT_PACKAGES)):
        fetch_package(name, options, directory / "unpacked" / name)


if __name__ == "__main__":
    main()
