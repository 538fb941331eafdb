"""The GPUs of this machine, as the driver lists them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """One GPU. `compute_capability` is like "8.9"."""

    name: str
    compute_capability: str
    memory_bytes: int


def installed_gpus() -> list[Gpu]:
    """Return every GPU that the driver shows to this process: none without a driver or in a container without any."""
    try:
        answer = subprocess.run(_QUERY, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in answer.stdout.splitlines() if line]
    return [Gpu(name, capability, int(mebibytes) << 20) for name, capability, mebibytes in rows]
