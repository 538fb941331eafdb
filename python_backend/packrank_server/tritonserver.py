"""Find, start and stop a real tritonserver with this repository's Python backend code.

The server is NVIDIA's: the one on PATH (as in its container image) or else the binary within the nvidia-pytriton
wheel, which needs no container, no root and no GPU.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from packrank_backend.build_record import StaleBuild
from packrank_server.engine_record import UnservableEngine, require_servable
from packrank_server.gpu import installed_gpus
from packrank_server.stub_processes import stub_processes
from packrank_server.tensorrt_version import server_tensorrt_version
from packrank_server.unmerged_config import MISSING_LIBRARY, has_batching_strategy, write_unmerged_config

# Triton waits this long for requests in flight once it is told to stop.
EXIT_TIMEOUT_S = 30

# rate=0: none but those whose caller traces them.
_TRACE_FLAGS = ("--trace-config=mode=opentelemetry", "--trace-config=level=TIMESTAMPS", "--trace-config=rate=0")


class ServerStartError(Exception):
    """The server cannot be started; the message says why and what to do."""


class StartInterrupted(Exception):
    """Whoever starts the server was told to stop before it was ready; nothing of it is left."""


@dataclass(frozen=True)
class Ports:
    """Triton's three listening ports; the defaults are Triton's own."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


@dataclass(frozen=True)
class Installation:
    """Where a tritonserver's parts lie. `backends` is None where the binary knows its own."""

    binary: Path
    backends: Path | None
    environment: dict[str, str]


class TritonServer:
    """A running tritonserver, as a context manager: started on entry, ready when entered, stopped on exit.

    `config_name` picks `configs/<name>.pbtxt` where a model has one (--model-config-name). Log lines go to `log`,
    or to this process's stderr. `traces` exports OpenTelemetry spans of the requests that come with a `traceparent`;
    the OTEL_... variables say where to, and how. Without the batching strategy's library the ranker merges no requests,
    which is said on stderr. Raises ServerStartError when a port is taken, no server is installed, or the server stops
    before it is ready, and StartInterrupted when `stopping` is set before that. A SIGTERM that the program does not
    handle itself raises SystemExit from then on, so that the server, in a session of its own, never outlives it.
    """

    def __init__(
        self,
        repository: Path,
        *,
        config_name: str = "cpu",
        host: str = "127.0.0.1",
        ports: Ports | None = None,
        log: Path | None = None,
        ready_timeout_s: float = 300.0,
        stopping: threading.Event | None = None,
        traces: bool = False,
    ) -> None:
        self.repository = repository
        self.host = host
        self.ports = ports or Ports()
        self._config_name = config_name
        self._log = log
        self._ready_timeout_s = ready_timeout_s
        self._stopping = stopping or threading.Event()
        self._trace_flags = _TRACE_FLAGS if traces else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._stubs: dict[int, str] = {}

    @property
    def grpc_endpoint(self) -> str:
        """Where a gRPC client connects."""
        return f"{self.host}:{self.ports.grpc}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process, while it runs."""
        if self._process is None:
            raise ServerStartError("the server has not been started: use it as a context manager.")
        return self._process

    def __enter__(self) -> Self:
        """Start the server and wait until every model is ready."""
        require_free_ports(self.host, self.ports)
        installation = find_installation()
        _exit_on_sigterm()
        try:
            require_servable(
                self.repository,
                self._config_name,
                installed_gpus(),
                server_tensorrt_version(installation.binary),
            )
        except (UnservableEngine, StaleBuild) as error:
            raise ServerStartError(str(error)) from error
        config_name = self._config_name
        if not has_batching_strategy(self.repository):
            print(f"{MISSING_LIBRARY} Install a C compiler, then `make batching`.", file=sys.stderr, flush=True)
            config_name = self._unmerged_config()
        command = [
            str(installation.binary),
            f"--model-repository={self.repository}",
            f"--model-config-name={config_name}",
            *([f"--backend-directory={installation.backends}"] if installation.backends else []),
            f"--http-address={self.host}",
            f"--grpc-address={self.host}",
            f"--metrics-address={self.host}",
            f"--http-port={self.ports.http}",
            f"--grpc-port={self.ports.grpc}",
            f"--metrics-port={self.ports.metrics}",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            # every config is written out; a guessed one would hide a mistake
            "--disable-auto-complete-config",
            *self._trace_flags,
        ]
        log: IO[bytes] | None = self._log.open("wb") if self._log else None
        try:
            # a session of its own, so that Ctrl-C reaches the server through stop() and not twice
            self._process = subprocess.Popen(
                command, env=os.environ | installation.environment, stdout=log, stderr=log, start_new_session=True
            )
        finally:
            if log:
                log.close()
        try:
            self._wait_until_ready()
            self._stubs = stub_processes(self._process.pid)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def failure(self) -> str | None:
        """Why the server can no longer answer, or None while it can."""
        code = self.process.poll()
        if code is not None:
            return f"tritonserver ended with code {code}"
        dead = self._stubs.keys() - stub_processes(self.process.pid).keys()
        return f"the process of model {self._stubs[min(dead)]} died" if dead else None

    def stop(self) -> None:
        """Let requests in flight finish, then end the server and its model processes."""
        if self._process is None:
            return
        if self.failure() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_TIMEOUT_S + 10)
        # whatever is left; a server whose model process died would only wait for it
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _unmerged_config(self) -> str:
        try:
            return write_unmerged_config(self.repository, self._config_name)
        except OSError as error:
            raise ServerStartError(
                f"the config that serves one request at a time cannot be written ({error}): run `make batching` where "
                "the model repository can be written to."
            ) from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerStartError(f"tritonserver stopped while starting.{self._log_tail()}")
            if self._is_ready():
                return
            if self._stopping.wait(0.05):
                raise StartInterrupted("told to stop before the server was ready.")
        raise ServerStartError(f"tritonserver was not ready within {self._ready_timeout_s:.0f} s.{self._log_tail()}")

    def _is_ready(self) -> bool:
        url = f"http://{self.host}:{self.ports.http}/v2/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _log_tail(self) -> str:
        if self._log is None:
            return " Its log above says why."
        lines = self._log.read_text(errors="replace").splitlines()
        # Python tracebacks arrive as one line with escaped newlines; the first failed model is the cause of the rest
        failed = [line.partition("\\n")[0] for line in lines if "failed to load" in line]
        return f" From {self._log}:\n" + "\n".join(failed[:1] or lines[-10:])


def _exit_on_sigterm() -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def require_free_ports(host: str, ports: Ports) -> None:
    """Refuse to start on a port that is taken: Triton would say so only after loading every model."""
    for name, port in (("HTTP_PORT", ports.http), ("GRPC_PORT", ports.grpc), ("METRICS_PORT", ports.metrics)):
        require_free_port(host, port, name)


def require_free_port(host: str, port: int, name: str) -> None:
    """Raises ServerStartError when the port is taken; `name` is what chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerStartError(
                f"port {port} cannot be used ({error.strerror}): stop what listens there, "
                f"or choose another with {name}={port + 1000}."
            ) from error


def free_ports() -> Ports:
    """Three ports that nothing listens on at this moment."""
    probes = [socket.socket() for _ in range(3)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return Ports(*(int(probe.getsockname()[1]) for probe in probes))
    finally:
        for probe in probes:
            probe.close()


def find_installation() -> Installation:
    """The tritonserver on PATH, or else the one within the nvidia-pytriton wheel."""
    on_path = shutil.which("tritonserver")
    if on_path:
        return Installation(Path(on_path), None, {})
    wheel = importlib.util.find_spec("pytriton")
    if wheel is None or not wheel.submodule_search_locations:
        raise ServerStartError("no tritonserver: neither on PATH nor from nvidia-pytriton. Run `make setup`.")
    server = Path(wheel.submodule_search_locations[0], "tritonserver")
    libraries = [server.parents[1] / "nvidia_pytriton.libs", _libpython_directory()]
    environment = {
        "LD_LIBRARY_PATH": _search_path(libraries, "LD_LIBRARY_PATH"),
        # The stub's interpreter runs isolated: it ignores PYTHONPATH and finds its environment by the first
        # python3 on PATH.
        "PATH": _search_path([Path(sys.prefix, "bin")], "PATH"),
    }
    return Installation(server / "bin" / "tritonserver", _backend_directory(server), environment)


def _search_path(first: list[Path], variable: str) -> str:
    return os.pathsep.join([*map(str, first), *filter(None, [os.environ.get(variable)])])


def _libpython_directory() -> Path:
    """Where the shared libpython lies that Triton's Python stub loads.

    Debian's python3 has none; the set-up then leaves a copy in the environment.
    """
    copied = Path(sys.prefix, "libpython")
    return copied if copied.is_dir() else Path(sysconfig.get_config_var("LIBDIR"))


def _backend_directory(server: Path) -> Path:
    """The wheel's Python backend joined by links with the stub of this Python, as Triton expects to find it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    backends = Path(sys.prefix, "tritonserver-backends")
    python = backends / "python"
    python.mkdir(parents=True, exist_ok=True)
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerStartError(f"nvidia-pytriton has no Python backend stub for Python {version}: use 3.11 to 3.13.")
    for part in (*(server / "backends" / "python").iterdir(), stub):
        link = python / part.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(part)
    return backends
