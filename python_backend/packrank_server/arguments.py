"""Command-line flags shared by every command that starts a tritonserver."""

from __future__ import annotations

import argparse

from packrank_server.ports import Ports


def add_port_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--http-port`, `--grpc-port` and `--metrics-port` of tritonserver. The defaults are Triton's own."""
    defaults = Ports()
    parser.add_argument("--http-port", type=int, default=defaults.http, help="of tritonserver, like the next two")
    parser.add_argument("--grpc-port", type=int, default=defaults.grpc)
    parser.add_argument("--metrics-port", type=int, default=defaults.metrics)


def ports_from(options: argparse.Namespace) -> Ports:
    """Build `Ports` from parsed arguments."""
    return Ports(options.http_port, options.grpc_port, options.metrics_port)
