"""Start servers, and read the processor time and memory of their processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import TritonServer

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = ROOT / "model_repository"
START_TIMEOUT_S = 600.0  # vLLM compiles when it first starts


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its address and its process id."""

    url: str
    pid: int


@contextlib.contextmanager
def running_server(repository: Path, name: str) -> Iterator[TritonServer]:
    """Run tritonserver on free ports with the config `cpu`; log to .cache/tritonserver-<name>.log."""
    with TritonServer(repository, ports=free_ports(), log=log_file(f"tritonserver-{name}")) as server:
        yield server


@contextlib.contextmanager
def running_gateway(endpoint: str, **settings: object) -> Iterator[Gateway]:
    """Run the gateway on a free port in front of a gRPC endpoint. `settings` are its flags."""
    url = f"http://127.0.0.1:{free_ports().http}"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "packrank_gateway", f"--port={url.rpartition(':')[2]}", f"--triton={endpoint}"]
    with running_http_server([*command, *flags], f"{url}/v1/health/live", log_file("gateway")) as process:
        yield Gateway(url, process.pid)


@contextlib.contextmanager
def running_http_server(
    command: Sequence[str], health_url: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[Any]]:
    """Run a command until `health_url` answers 200, and stop it at the end. Raises ServerStartError."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with stopped_at_the_end(process):
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerStartError(f"{Path(command[0]).name} did not start: read {log}.")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(health_url, timeout=5).close()  # noqa: S310
                break
            time.sleep(0.2)
        yield process


@contextlib.contextmanager
def stopped_at_the_end(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Stop a process that leads a session, and its children, on exit."""
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def log_file(name: str) -> Path:
    """Return .cache/<name>.log, in a folder that exists."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    return ROOT / ".cache" / f"{name}.log"


def cpu_seconds(stat: str) -> float:
    """Return user plus system time of a process and its threads, from the text of /proc/<pid>/stat (proc(5))."""
    fields = stat.rpartition(")")[2].split()  # after the command, which may hold spaces
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def process_cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of these processes since they began."""
    return sum(cpu_seconds(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")) for pid in pids)


def pss_mib(rollup: str) -> float:
    """Return a process's PSS in MiB from the text of /proc/<pid>/smaps_rollup.

    PSS counts a page that n processes share as 1/n (Linux, Documentation/filesystems/proc.rst).
    """
    for line in rollup.splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) / 1024
    raise ValueError("smaps_rollup has no line Pss")


def memory_mib(server_pid: int, gateway_pid: int) -> dict[str, float]:
    """Return the PSS in MiB of tritonserver, each model process and the gateway."""
    pids = {"tritonserver": server_pid, "gateway": gateway_pid}
    pids |= {f"model {name}": pid for pid, name in stub_processes(server_pid).items()}
    return {name: pss_mib(Path(f"/proc/{pid}/smaps_rollup").read_text()) for name, pid in sorted(pids.items())}
