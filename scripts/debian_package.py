"""Download packages of this Debian or Ubuntu and unpack them, without root and without installing.

python3 scripts/debian_package.py libb64-0d --into .cache/debian
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from preflight import SetupError


def fetch(names: list[str], into: Path) -> None:
    """Unpack the newest release of each package under `into`, as `into/usr/lib/...`. Raises SetupError."""
    wanted = " ".join(names)
    if shutil.which("apt-get") is None:
        raise SetupError(f"apt-get, which would fetch {wanted}, is not on this machine.")
    print(f"Fetching {wanted} (Debian packages, unpacked, not installed)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as download:
        # Without the option, root's apt-get warns that its own unprivileged user cannot write here.
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names]
        done = subprocess.run(
            command, cwd=download, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("E: ")]
            raise SetupError(
                f"apt-get could not download {wanted} ({errors[0] if errors else done.stdout.strip()}). Check the "
                "network, refresh apt's package lists with `sudo apt-get update`, and try again."
            )
        into.mkdir(parents=True, exist_ok=True)
        for package in sorted(Path(download).glob("*.deb")):
            subprocess.run(["dpkg", "-x", package, into], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--into", type=Path, required=True, metavar="DIRECTORY")
    arguments = parser.parse_args()
    try:
        fetch(arguments.names, arguments.into)
    except SetupError as error:
        sys.exit(str(error))
