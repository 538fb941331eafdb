"""Which TensorRT a tritonserver runs: a plan loads in the version that built it and in no other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# In a process of its own, because a library that another package has loaded under the same name would answer instead.
_ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
print(*(getattr(library, f"getInferLib{part}Version")() for part in ("Major", "Minor", "Patch", "Build")), sep=".")
"""


def backend_library(tritonserver: Path) -> Path:
    """Where Triton's TensorRT backend lies beside the server's binary."""
    return tritonserver.resolve().parents[1] / "backends" / "tensorrt" / "libtriton_tensorrt.so"


def server_tensorrt_version(tritonserver: Path) -> str | None:
    """The four-part version of the TensorRT that the server's backend is linked with; None without such a backend."""
    backend = backend_library(tritonserver)
    if not backend.is_file():
        return None
    linked = subprocess.run(["ldd", str(backend)], capture_output=True, text=True, check=False).stdout
    found = re.search(r"libnvinfer\.so\S* => (/\S+)", linked)
    return library_version(Path(found[1])) if found else None


def library_version(library: Path) -> str:
    """The version that a TensorRT library states about itself, e.g. 10.13.3.9."""
    command = [sys.executable, "-c", _ASK, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
