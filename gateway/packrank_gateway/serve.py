"""`make serve`: run tritonserver and the gateway in front of it, and restart whichever dies or hangs."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_gateway.settings import SettingsError, settings_from
from packrank_gateway.telemetry.tracing import traces_are_on
from packrank_server.arguments import add_port_arguments, ports_from
from packrank_server.errors import ServerStartError, StartInterrupted
from packrank_server.health import is_healthy
from packrank_server.ports import connect_host, require_free_port
from packrank_server.supervision.die_with_parent import dying_with_parent
from packrank_server.supervision.supervisor import Supervisor
from packrank_server.tritonserver import TritonServer

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
START_TIMEOUT_S = 120.0
LIVENESS_TIMEOUT_S = 10.0
POLL_S = 0.1


class GatewayProcess:
    """The gateway in a process of its own, as a context manager: live when entered, stopped on exit.

    `flags` are those of `python -m packrank_gateway`; further settings reach it as PACKRANK_... variables. It may drain
    for `drain_timeout_s`. Raises ServerStartError if it ends before it is live, and StartInterrupted if `stopping` is
    set before that.
    """

    def __init__(self, flags: Sequence[str], *, url: str, drain_timeout_s: float, stopping: threading.Event) -> None:
        self._command = [sys.executable, "-m", "packrank_gateway", *flags]
        self._url = url
        self._drain_timeout_s = drain_timeout_s
        self._stopping = stopping

    def __enter__(self) -> Self:
        """Start it and wait until it is live."""
        # a session of its own, so that Ctrl-C reaches it through stop() only
        self._process = subprocess.Popen(dying_with_parent(self._command), start_new_session=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_live(timeout_s=1.0):
            failure = self.failure()
            if failure:
                raise ServerStartError(f"{failure}; its messages are above.")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerStartError(f"the gateway was not live within {START_TIMEOUT_S:.0f} s.")
            if self._stopping.wait(POLL_S):
                self.stop()
                raise StartInterrupted("told to stop before the gateway was live.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def failure(self) -> str | None:
        """Why it can no longer answer, or None while it can."""
        code = self._process.poll()
        return None if code is None else f"the gateway ended with code {code}"

    def answers(self) -> bool:
        """Whether it is live. Liveness does not depend on load."""
        return self._is_live(LIVENESS_TIMEOUT_S)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def stop(self) -> None:
        """Let it finish requests under way, then end it."""
        self._process.terminate()
        try:
            self._process.wait(self._drain_timeout_s + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_live(self, timeout_s: float) -> bool:
        return is_healthy(f"{self._url}/v1/health/live", timeout_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make serve`. `arguments` are this process's own by default."""
    options = _parser().parse_args(arguments)
    # Handlers append to a list and take no lock: a second signal may come while the first is handled. They are set
    # before anything is started, so that a signal leaves nothing behind.
    signals: list[int] = []
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, _frame: signals.append(number))
    try:
        _serve(options, signals)
    except (ServerStartError, SettingsError, StaleBuild) as error:
        print(f"make serve: {error}", file=sys.stderr)
        return 1
    finally:
        # nothing is left to stop; late signals must not change the exit code
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--config-name", default="cpu", help="named config of the ranker")
    parser.add_argument("--host", default="127.0.0.1", help="address of the gateway; 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, default=8080, help="of the gateway")
    parser.add_argument(
        "--triton-host",
        default=os.environ.get("TRITON_HOST") or "127.0.0.1",
        help="address of tritonserver, which has neither keys nor limits of its own (default %(default)s; TRITON_HOST)",
    )
    add_port_arguments(parser)
    return parser


def _serve(options: argparse.Namespace, signals: list[int]) -> None:
    """Serve until there is a signal. Raises ServerStartError, SettingsError or StaleBuild if it cannot start."""
    tokenizer = options.repository / "tokenizer" / "1"
    ports, triton_host = ports_from(options), connect_host(options.triton_host)
    flags = [
        f"--host={options.host}",
        f"--port={options.port}",
        f"--triton={triton_host}:{ports.grpc}",
        f"--model-directory={tokenizer}",
    ]
    settings = settings_from(flags)
    notice = read_build_record(tokenizer).notice
    require_free_port(options.host, options.port, "GATEWAY_PORT")

    def start_gateway(stopping: threading.Event) -> GatewayProcess:
        return GatewayProcess(
            flags,
            url=f"http://{connect_host(options.host)}:{options.port}",
            drain_timeout_s=settings.drain_timeout_s,
            stopping=stopping,
        )

    @contextmanager
    def start_triton(stopping: threading.Event) -> Iterator[TritonServer]:
        with TritonServer(
            options.repository,
            config_name=options.config_name,
            host=options.triton_host,
            ports=ports,
            stopping=stopping,
            traces=traces_are_on(),
        ) as server:
            where = f"{server.grpc_endpoint} (gRPC) and {triton_host}:{ports.http} (HTTP)"
            print(f"serving on {where}. {notice}", flush=True)
            yield server

    triton = Supervisor("tritonserver", start_triton)
    gateway = Supervisor("the gateway", start_gateway)
    print(f"the gateway listens on http://{options.host}:{options.port} and is ready once the server is.", flush=True)
    triton.start()
    gateway.start()
    while not (signals or triton.start_error or gateway.start_error):
        time.sleep(POLL_S)
    # the gateway first, so that no request under way loses the server behind it
    gateway.stop()
    triton.stop()
    error = gateway.start_error or triton.start_error
    if error is not None:
        raise error


if __name__ == "__main__":
    sys.exit(main())
