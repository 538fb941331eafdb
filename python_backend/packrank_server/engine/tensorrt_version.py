"""Which TensorRT a tritonserver runs: a plan loads only in the version that built it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# In a process of its own: another package here may have loaded a library of the same name, which would answer.
_ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
print(*(getattr(library, f"getInferLib{part}Version")() for part in ("Major", "Minor", "Patch", "Build")), sep=".")
"""


def backend_library(tritonserver: Path) -> Path:
    """Return the path of Triton's TensorRT backend, beside the server's binary."""
    return tritonserver.resolve().parents[1] / "backends" / "tensorrt" / "libtriton_tensorrt.so"


def server_tensorrt_version(tritonserver: Path) -> str | None:
    """Return the four-part version of the TensorRT that the server's backend links, or None without that backend."""
    backend = backend_library(tritonserver)
    if not backend.is_file():
        return None
    linked = subprocess.run(["ldd", str(backend)], capture_output=True, text=True, check=False).stdout
    found = re.search(r"libnvinfer\.so\S* => (/\S+)", linked)
    return library_version(Path(found[1])) if found else None


def library_version(library: Path) -> str:
    """Return the version that a TensorRT library states about itself, such as 10.13.3.9."""
    command = [sys.executable, "-c", _ASK, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
