"""Find an installed tritonserver.

The server is NVIDIA's: the one on PATH, as in NVIDIA's container image, or else the binary inside the
nvidia-pytriton wheel. The wheel needs no container, no root and no GPU.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from packrank_server.errors import ServerStartError


@dataclass(frozen=True)
class Installation:
    """A tritonserver and the environment variables it needs. `backends` is None if the binary knows its own."""

    binary: Path
    backends: Path | None
    environment: dict[str, str]


def find_installation() -> Installation:
    """Return the tritonserver on PATH, or else the one in the nvidia-pytriton wheel.

    Either way this interpreter's directory comes first on the server's PATH. Triton's Python stub runs isolated: it
    ignores PYTHONPATH and takes its packages from the first python3 on PATH. Raises ServerStartError if there is no
    server.
    """
    environment = {"PATH": _search_path([Path(sys.prefix, "bin")], "PATH")}
    on_path, wheel = shutil.which("tritonserver"), _wheel_server()
    if on_path and not (wheel and Path(on_path).resolve() == _binary(wheel).resolve()):
        return Installation(Path(on_path), None, environment)
    if wheel is None:
        raise ServerStartError("no tritonserver: neither on PATH nor from nvidia-pytriton. Run `make setup`.")
    libraries = [wheel.parents[1] / "nvidia_pytriton.libs", _libpython_directory()]
    environment["LD_LIBRARY_PATH"] = _search_path(libraries, "LD_LIBRARY_PATH")
    return Installation(_binary(wheel), _backend_directory(wheel), environment)


def _wheel_server() -> Path | None:
    """Return the directory `pytriton/tritonserver` of the wheel, if it is installed."""
    wheel = importlib.util.find_spec("pytriton")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    return Path(wheel.submodule_search_locations[0], "tritonserver")


def _binary(wheel: Path) -> Path:
    return wheel / "bin" / "tritonserver"


def _search_path(first: list[Path], variable: str) -> str:
    return os.pathsep.join([*map(str, first), *filter(None, [os.environ.get(variable)])])


def _libpython_directory() -> Path:
    """Return the directory of the shared libpython that Triton's Python stub loads.

    Debian's python3 has none, so set-up leaves a copy in the environment.
    """
    copied = Path(sys.prefix, "libpython")
    return copied if copied.is_dir() else Path(sysconfig.get_config_var("LIBDIR"))


def _backend_directory(wheel: Path) -> Path:
    """Link the wheel's Python backend and the stub for this Python together, as Triton expects to find them."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    backends = Path(sys.prefix, "tritonserver-backends")
    python = backends / "python"
    python.mkdir(parents=True, exist_ok=True)
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerStartError(f"nvidia-pytriton has no Python backend stub for Python {version}: use 3.11 to 3.13.")
    for part in (*(wheel / "backends" / "python").iterdir(), stub):
        link = python / part.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(part)
    return backends
