"""TensorRT's Python module and NVIDIA's driver: what `make engine` needs of the machine before it loads CUDA."""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from packrank_build.tensorrt.log import EngineError
from packrank_server.engine.tensorrt_version import library_version

# The first driver release of each CUDA major version (CUDA's release notes, "CUDA Driver versions").
FIRST_DRIVER = {12: 525, 13: 580}


def cuda_of(tensorrt: str) -> int:
    """Return the CUDA release of the wheels: Triton's images with TensorRT 10.13 and newer use CUDA 13."""
    major, minor = map(int, tensorrt.split(".")[:2])
    return 13 if (major, minor) >= (10, 13) else 12


def tensorrt_module(names: Sequence[str] = ("tensorrt", "tensorrt_bindings")) -> Any:
    """Import TensorRT's Python module. Raises EngineError with the words of each ImportError."""
    # `tensorrt` wraps the second one, which uses the libraries of the image when installed alone
    reasons = []
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(f"{name}: {error}")
    raise EngineError(
        f"TensorRT's Python module cannot be imported ({'; '.join(reasons)}). `make engine` installs it and uses the "
        "libraries of NVIDIA's tritonserver image: run it in the release that docs/container.md names."
    )


def loaded_version(library: str = "libnvinfer.so", maps: Path = Path("/proc/self/maps")) -> str | None:
    """Ask the TensorRT library that this process has loaded for its version; None if none is loaded.

    The module's `__version__` is a constant of its wheel and says nothing about the library.
    """
    found = re.search(rf"(/\S+/{re.escape(library)}\S*)", maps.read_text(encoding="utf-8"))
    return library_version(Path(found[1])) if found else None


def require_driver(tensorrt: str, cuda: tuple[int, int] | None, driver: str) -> None:
    """Raise EngineError if the driver is too old for TensorRT's CUDA, which else ends in a CUDA error number.

    `cuda` is the newest release that libcuda supports. It can be newer than the driver's own: a container's
    compatibility package replaces libcuda. `driver` is the driver's release, for the message.
    """
    needed = cuda_of(tensorrt)
    if cuda is not None and cuda[0] >= needed:
        return
    supports = "has no CUDA library" if cuda is None else f"supports CUDA {cuda[0]}.{cuda[1]}"
    raise EngineError(
        f"NVIDIA's driver here is {driver} and {supports}. TensorRT {tensorrt} needs CUDA {needed}: install driver "
        f"R{FIRST_DRIVER[needed]} or newer on the host."
    )


def driver_cuda(load: Callable[[str], Any] = ctypes.CDLL) -> tuple[int, int] | None:
    """Ask libcuda for the newest CUDA release that it supports; None without a libcuda. Creates no context."""
    version = ctypes.c_int()
    try:
        if load("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except OSError:
        return None
    return version.value // 1000, version.value % 1000 // 10


def driver_release() -> str:
    """Return the driver's release as nvidia-smi states it, or "unknown"."""
    command = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.splitlines()[0].strip() if answer.strip() else "unknown"
