"""`make serve`: tritonserver and the gateway in front of it, started together and stopped in order."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from packrank_backend.build_record import StaleBuild
from packrank_gateway.telemetry.tracing import traces_are_on
from packrank_server.arguments import add_port_arguments, ports_from
from packrank_server.serve import serve
from packrank_server.tritonserver import ServerStartError, require_free_port


class GatewayProcess:
    """The gateway as a process of its own; other settings than these reach it as PACKRANK_... variables.

    When it ends, for whatever reason, `ended` is set: whoever runs the server then stops it, so that no request
    under way loses the server behind it.
    """

    def __init__(self, *, host: str, port: int, grpc_port: int, model_directory: Path) -> None:
        self.ended = threading.Event()
        # Triton may listen on every interface, but nothing connects to 0.0.0.0.
        triton = f"{'127.0.0.1' if host == '0.0.0.0' else host}:{grpc_port}"  # noqa: S104
        flags = [f"--host={host}", f"--port={port}", f"--triton={triton}", f"--model-directory={model_directory}"]
        # a session of its own: Ctrl-C reaches it through stop() only
        self._process = subprocess.Popen([sys.executable, "-m", "packrank_gateway", *flags], start_new_session=True)
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Let it finish the requests under way; does not wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait()

    def _watch(self) -> None:
        self._process.wait()
        self.ended.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make serve`; `arguments` are this process's own by default."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--config-name", default="cpu", help="named config of the ranker")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, default=8080, help="of the gateway")
    add_port_arguments(parser)
    options = parser.parse_args(arguments)
    ports = ports_from(options)
    try:
        require_free_port(options.host, options.port, "GATEWAY_PORT")
    except ServerStartError as error:
        print(f"make serve: {error}", file=sys.stderr)
        return 1
    told_to_stop = threading.Event()
    # before anything is started, so that a signal leaves nothing behind
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _signal, _frame: told_to_stop.set())
    gateway = GatewayProcess(
        host=options.host,
        port=options.port,
        grpc_port=options.grpc_port,
        model_directory=options.repository / "tokenizer" / "1",
    )

    def stop_when_told() -> None:
        told_to_stop.wait()
        gateway.stop()

    threading.Thread(target=stop_when_told, daemon=True).start()
    print(f"the gateway listens on http://{options.host}:{options.port} and is ready once the server is.", flush=True)
    try:
        serve(
            options.repository,
            config_name=options.config_name,
            host=options.host,
            ports=ports,
            stopping=gateway.ended,
            traces=traces_are_on(),
        )
    except (ServerStartError, StaleBuild) as error:
        print(f"make serve: {error}", file=sys.stderr)
        return 1
    finally:
        gateway.stop()
        code = gateway.wait()
    if not told_to_stop.is_set():
        print(f"make serve: the gateway ended with code {code}; its words stand above.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
