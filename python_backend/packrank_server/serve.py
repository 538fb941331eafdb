"""`make serve`: run tritonserver in the foreground, and start it again should one of its model processes die."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_server.arguments import add_port_arguments, ports_from
from packrank_server.tritonserver import Ports, ServerStartError, StartInterrupted, TritonServer

CHECK_INTERVAL_S = 1.0


def serve(
    repository: Path,
    *,
    config_name: str,
    host: str,
    ports: Ports,
    stopping: threading.Event,
    traces: bool = False,
) -> None:
    """Serve until `stopping` is set, be the server ready by then or not; `traces` as TritonServer's.

    Raises ServerStartError when the server cannot be started at all.
    """
    notice = read_build_record(repository / "tokenizer" / "1").notice
    with contextlib.suppress(StartInterrupted):
        while not stopping.is_set():
            with TritonServer(
                repository, config_name=config_name, host=host, ports=ports, stopping=stopping, traces=traces
            ) as server:
                print(f"serving on {server.grpc_endpoint} (gRPC) and {host}:{ports.http} (HTTP). {notice}", flush=True)
                while not stopping.wait(CHECK_INTERVAL_S):
                    failure = server.failure()
                    if failure:
                        print(f"serve: {failure}: starting tritonserver again.", file=sys.stderr, flush=True)
                        break


def main() -> int:
    """Command line of `make serve`."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--config-name", default="cpu", help="named config of the ranker")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every interface")
    add_port_arguments(parser)
    options = parser.parse_args()
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    ports = ports_from(options)
    try:
        serve(options.repository, config_name=options.config_name, host=options.host, ports=ports, stopping=stopping)
    except (ServerStartError, StaleBuild) as error:
        print(f"make serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
