"""The flags that every command which starts a tritonserver has."""

from __future__ import annotations

import argparse

from packrank_server.tritonserver import Ports


def add_port_arguments(parser: argparse.ArgumentParser) -> None:
    """`--http-port`, `--grpc-port` and `--metrics-port` of tritonserver, by default Triton's own."""
    defaults = Ports()
    parser.add_argument("--http-port", type=int, default=defaults.http, help="of tritonserver, like the next two")
    parser.add_argument("--grpc-port", type=int, default=defaults.grpc)
    parser.add_argument("--metrics-port", type=int, default=defaults.metrics)


def ports_from(options: argparse.Namespace) -> Ports:
    """What was given."""
    return Ports(options.http_port, options.grpc_port, options.metrics_port)
