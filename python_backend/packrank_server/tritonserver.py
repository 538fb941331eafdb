"""Start and stop a real tritonserver with this repository's Python backend code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from packrank_backend.build_record import StaleBuild
from packrank_server.checksums import require_intact_files
from packrank_server.command_line import EXIT_TIMEOUT_S, tritonserver_command
from packrank_server.engine.engine_record import UnservableEngine, require_servable
from packrank_server.engine.gpu import Gpu, installed_gpus
from packrank_server.engine.tensorrt_version import server_tensorrt_version
from packrank_server.errors import ServerStartError, StartInterrupted
from packrank_server.health import is_healthy
from packrank_server.installation import Installation, find_installation
from packrank_server.ports import Ports, connect_host, require_free_ports
from packrank_server.stub_processes import stub_processes
from packrank_server.supervision.die_with_parent import dying_with_parent
from packrank_server.supervision.probe import Probe
from packrank_server.supervision.shared_memory import (
    new_region_prefix,
    region_flag,
    unlink_mapped_regions,
    unlink_regions,
)
from packrank_server.unmerged_config import MISSING_LIBRARY, has_batching_strategy, write_unmerged_config

POLL_S = 0.05
# A killed process may take a moment to end.
KILL_POLLS = 100
# Looking at every process of the machine takes milliseconds.
POLLS_PER_SEARCH = 10


class TritonServer:
    """A running tritonserver, as a context manager: ready when entered, stopped on exit.

    `config_name` picks `configs/<name>.pbtxt` where a model has one (--model-config-name). Log lines go to `log`, or
    to this process's stderr. `traces` exports OpenTelemetry spans of requests with a `traceparent`; the OTEL_...
    variables say where to. Without the batching strategy's library the ranker merges no requests; a line on stderr
    says so.

    Raises ServerStartError if a port is taken, no server is installed, the published files are not those that were
    built, or the server stops before it is ready. Raises StartInterrupted if `stopping` is set before that.

    The server ends with this process, whatever ends it, and with the thread that entered the context. A SIGTERM that
    the program does not handle raises SystemExit from then on, so that requests in flight finish.
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
        self._traces = traces
        self._region_prefix = new_region_prefix()
        self._process: subprocess.Popen[bytes] | None = None
        self._stubs: dict[int, str] = {}
        self._probe: Probe | None = None

    @property
    def grpc_endpoint(self) -> str:
        """Where a gRPC client on this machine connects."""
        return f"{connect_host(self.host)}:{self.ports.grpc}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process, while it runs."""
        if self._process is None:
            raise ServerStartError("the server has not been started: use it as a context manager.")
        return self._process

    def __enter__(self) -> Self:
        """Start the server and wait until every model is ready."""
        require_free_ports(self.host, self.ports)
        installation, gpus = find_installation(), installed_gpus()
        _exit_on_sigterm()
        try:
            require_servable(self.repository, self._config_name, gpus, server_tensorrt_version(installation.binary))
            require_intact_files(self.repository, self._config_name)
        except (UnservableEngine, StaleBuild) as error:
            raise ServerStartError(str(error)) from error
        self._process = self._start(installation, gpus)
        try:
            self._wait_until_ready()
            unlink_mapped_regions(self._process.pid)
            self._stubs = stub_processes(self._process.pid)
        except BaseException:
            self.kill()
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

    def answers(self) -> bool:
        """Whether the server makes progress or answers a question now (supervision/probe.py)."""
        self._probe = self._probe or Probe(self.grpc_endpoint, self.process.pid)
        return self._probe.answers()

    def kill(self) -> None:
        """End the server and its model processes at once, and wait until they have ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for _ in range(KILL_POLLS):
            if not stub_processes(self.process.pid):
                break
            time.sleep(POLL_S)
        unlink_regions(self._region_prefix)

    def stop(self) -> None:
        """Let requests in flight finish, then end the server and its model processes."""
        if self._process is None:
            return
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        # A server whose model process died would only wait for it.
        if self.failure() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_TIMEOUT_S + 10)
        self.kill()
        self._process = None

    def _start(self, installation: Installation, gpus: list[Gpu]) -> subprocess.Popen[bytes]:
        config_name = self._config_name
        if not has_batching_strategy(self.repository):
            print(f"{MISSING_LIBRARY} Install a C compiler, then `make batching`.", file=sys.stderr, flush=True)
            config_name = self._unmerged_config()
        command = tritonserver_command(
            installation,
            self.repository,
            config_name=config_name,
            host=self.host,
            ports=self.ports,
            gpus=gpus,
            traces=self._traces,
        )
        command.append(region_flag(self._region_prefix))
        environment = os.environ | installation.environment
        with contextlib.ExitStack() as files:
            log: IO[bytes] | None = files.enter_context(self._log.open("wb")) if self._log else None
            # a session of its own, so that Ctrl-C reaches the server through stop() only
            return subprocess.Popen(
                dying_with_parent(command), env=environment, stdout=log, stderr=log, start_new_session=True
            )

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
        polls = 0
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerStartError(f"tritonserver stopped while starting.{self._log_tail()}")
            if self._is_ready():
                return
            if polls % POLLS_PER_SEARCH == 0:
                unlink_mapped_regions(self.process.pid)
            polls += 1
            if self._stopping.wait(POLL_S):
                raise StartInterrupted("told to stop before the server was ready.")
        raise ServerStartError(f"tritonserver was not ready within {self._ready_timeout_s:.0f} s.{self._log_tail()}")

    def _is_ready(self) -> bool:
        return is_healthy(f"http://{connect_host(self.host)}:{self.ports.http}/v2/health/ready", timeout_s=5)

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
