"""The shared-memory regions through which tritonserver and its Python models exchange tensors."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from packrank_server.stub_processes import stubs

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


def new_region_prefix() -> str:
    """Draw a prefix for the names of one server's regions.

    It begins as Triton's default does: newer releases refuse to register shared memory with such a key.
    """
    return f"triton_python_backend_shm_region_{secrets.token_hex(8)}_"


def region_flag(prefix: str) -> str:
    """Return tritonserver's flag that makes its Python backend use the prefix."""
    return f"--backend-config=python,shm-region-prefix-name={prefix}"


def unlink_mapped_regions(server_pid: int) -> None:
    """Remove the names of regions that a server and its stub have both mapped.

    Neither opens a region by name again: both keep its file descriptor and grow it through that (python_backend,
    shm_manager.cc). A region without a name lives as long as a process maps it, so a crash of any process leaves
    nothing in /dev/shm. It also cannot be registered by its key and read by others.
    """
    for stub in stubs(server_pid):
        name = stub.region.lstrip("/")
        with contextlib.suppress(OSError):
            if f"/{name}\n" in Path(f"/proc/{stub.pid}/maps").read_text(encoding="utf-8", errors="replace"):
                (SHARED_MEMORY / name).unlink()


def unlink_regions(prefix: str) -> None:
    """Remove what a server that has ended left, such as a region that no stub had mapped yet."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
