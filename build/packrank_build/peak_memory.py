"""The most memory that a process has held."""

from __future__ import annotations

import re
from pathlib import Path


def peak_memory_gb(process: int | str = "self") -> float:
    """Peak resident size of a process id, in GB (10^9 bytes).

    Read from VmHWM (proc_pid_status(5)) and not from getrusage, whose ru_maxrss a process inherits from its parent.
    """
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kib) * 1024 / 1e9
