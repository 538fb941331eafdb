"""Runs pip in the open, and says in one sentence why it failed if the network or the disk was the reason."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from preflight import free_mb

# What urllib3 and pip write when no package index answers. Locked versions exist, so an index that lists
# none is not the usual one.
NETWORK_FAILURES = (
    "NameResolutionError",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Max retries exceeded",
    "Connection broken",
    "Temporary failure in name resolution",
    "(from versions: none)",
)


class PipError(Exception):
    """pip failed; the message says why and what to do."""


def failure_sentence(output: str, directory: Path) -> str:
    """What the end of pip's standard error, `output`, means for someone who installs into `directory`."""
    if "No space left on device" in output:
        places = {directory, Path(tempfile.gettempdir()), Path.home()}
        free = ", ".join(f"{free_mb(place)} MB in {place}" for place in sorted(places) if place.exists())
        return f"The disk is full; free are {free}. Free some, or point TMPDIR and PIP_CACHE_DIR elsewhere."
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return (
            "The package index's certificate cannot be verified: install the package ca-certificates, or set "
            "PIP_CERT to your organisation's certificates."
        )
    if any(sign in output for sign in NETWORK_FAILURES):
        return (
            "No package index can be reached that has it. Check the network (behind a proxy or with a "
            "mirror: HTTPS_PROXY, PIP_INDEX_URL), and run this again."
        )
    return "pip failed; its own words stand above."


def run_pip(python: Path, arguments: "list[str]", directory: Path, stdout: "IO[str] | None" = None) -> None:
    """Runs `python -m pip` with its progress shown.

    Args:
        python: the interpreter whose pip runs.
        arguments: pip's arguments, relative paths counted from `directory`.
        directory: the working directory.
        stdout: where pip's own standard output goes, by default to this process's.

    Raises:
        PipError: pip failed.
    """
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    command = [str(python), "-m", "pip", *arguments]
    output = []
    with subprocess.Popen(
        command,
        cwd=str(directory),
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stderr or ():
            output.append(line)
            sys.stderr.write(line)
    if process.returncode:
        raise PipError(failure_sentence("".join(output), directory))
