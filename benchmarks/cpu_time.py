"""Processor time of processes: what work costs, also on a machine that others share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from packrank_server.stub_processes import stub_processes


def cpu_seconds(stat: str) -> float:
    """User and system time of one process with all its threads, from the text of its /proc stat (proc(5))."""
    fields = stat.rpartition(")")[2].split()  # after the command, which may hold spaces
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def process_cpu_seconds(pids: Iterable[int]) -> float:
    """Of all these processes since they began."""
    return sum(cpu_seconds(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")) for pid in pids)


def server_cpu_seconds(server_pid: int) -> float:
    """Of tritonserver and its model processes since they began."""
    return process_cpu_seconds((server_pid, *stub_processes(server_pid)))
