"""The processes in which Triton's Python backend runs models, seen from outside."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_MODEL_FILE = re.compile(rb"/([^/]+)/[0-9]+/model\.py$")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stub(NamedTuple):
    """A running stub: its process id, its model, and the shared-memory region it exchanges tensors through."""

    pid: int
    model: str
    region: str


def stubs(server_pid: int) -> Iterator[Stub]:
    """Yield the living stubs of a server that leads its process group."""
    for process in Path("/proc").glob("[0-9]*"):
        # Processes end while we look. One that ended but was not waited for has an empty command line.
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            # triton_python_backend_stub <model.py> <region> ...
            if len(command) < 3 or not command[0].endswith(b"stub"):
                continue
            model = _MODEL_FILE.search(command[1])
            if model and os.getpgid(int(process.name)) == server_pid:
                yield Stub(int(process.name), model[1].decode(), command[2].decode())


def stub_processes(server_pid: int) -> dict[int, str]:
    """Return the living stubs of a server that leads its process group: process id -> model name.

    Triton 24.10 neither restarts a stub that died nor reports its model as not ready. It answers every later request
    with "Stub process ... is not healthy", so somebody else has to look.
    """
    return {stub.pid: stub.model for stub in stubs(server_pid)}


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that living processes have used so far (proc(5): utime and stime)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # the name in parentheses may hold spaces
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S
