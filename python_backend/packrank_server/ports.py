"""The ports that Triton listens on."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from packrank_server.errors import ServerStartError

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True)
class Ports:
    """Triton's three listening ports. The defaults are Triton's own."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


def connect_host(listen_host: str) -> str:
    """Return the host, as in a URL, at which this machine reaches what listens on `listen_host`.

    Nothing connects to 0.0.0.0, and an IPv6 address needs brackets.
    """
    host = _ANY_ADDRESS.get(listen_host, listen_host)
    return f"[{host}]" if ":" in host else host


def require_free_ports(host: str, ports: Ports) -> None:
    """Refuse to start on a taken port: Triton notices only after loading every model. Raises ServerStartError."""
    for name, port in (("HTTP_PORT", ports.http), ("GRPC_PORT", ports.grpc), ("METRICS_PORT", ports.metrics)):
        require_free_port(host, port, name)


def require_free_port(host: str, port: int, name: str) -> None:
    """Raise ServerStartError if the port is taken. `name` is the setting that picks another."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServerStartError(
            f"cannot listen on {host} ({error.strerror}): name an address of this machine."
        ) from error
    try:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ServerStartError(
            f"port {port} cannot be used ({error.strerror}): stop what listens there, "
            f"or choose another with {name}={port + 1000}."
        ) from error


def free_ports() -> Ports:
    """Three ports that nothing listens on right now."""
    probes = [socket.socket() for _ in range(3)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return Ports(*(int(probe.getsockname()[1]) for probe in probes))
    finally:
        for probe in probes:
            probe.close()
