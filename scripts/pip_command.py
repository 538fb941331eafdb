"""Run pip with its progress shown. If it fails, say in one sentence what to do."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from preflight import SetupError, free_mb

# What pip and urllib3 print when no package index answers. Locked releases exist, so an index without any
# release of them is not the usual one.
NETWORK_FAILURE = re.compile(
    "NameResolutionError|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|Max retries exceeded|"
    r"Connection broken|Temporary failure in name resolution|\(from versions: none\)"
)


def failure_sentence(output: str, directory: Path) -> str:
    """Explain pip's standard error to someone who installs into `directory`."""
    if "No space left on device" in output:
        places = {directory, Path(tempfile.gettempdir()), Path.home()}
        free = ", ".join(f"{free_mb(place)} MB in {place}" for place in sorted(places) if place.exists())
        return f"The disk is full: {free} are free. Free some space, or point TMPDIR and PIP_CACHE_DIR elsewhere."
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return (
            "pip cannot verify the package index's certificate. Install ca-certificates, or set PIP_CERT to "
            "your organisation's certificates."
        )
    if NETWORK_FAILURE.search(output):
        return (
            "No package index can be reached that has it. Check the network, or name a proxy or a mirror "
            "(HTTPS_PROXY, PIP_INDEX_URL), and try again."
        )
    return "pip failed. Its own words stand above."


def run_pip(python: Path, arguments: list[str], directory: Path, stdout: IO[str] | None = None) -> None:
    """Run `python -m pip` in `directory`, with standard output to `stdout` or this process's own. Raises SetupError."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [str(python), "-m", "pip", *arguments]
    errors = []
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stderr or ():
            errors.append(line)
            sys.stderr.write(line)
    if process.returncode:
        raise SetupError(failure_sentence("".join(errors), directory))
