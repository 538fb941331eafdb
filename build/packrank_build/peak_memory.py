"""Peak memory of a process."""

from __future__ import annotations

import re
from pathlib import Path


def peak_memory_gb(process: int | str = "self") -> float:
    """Read the peak resident size of a process id, in GB (10^9 bytes).

    It comes from VmHWM (proc_pid_status(5)), because a process inherits getrusage's ru_maxrss from its parent.
    """
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kib) * 1024 / 1e9
