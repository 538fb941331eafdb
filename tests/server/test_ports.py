import socket

import pytest

from packrank_server.errors import ServerStartError
from packrank_server.ports import Ports, connect_host, free_ports, require_free_port, require_free_ports


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = free_ports()
        with pytest.raises(ServerStartError, match=f"port {port} .*choose another with GRPC_PORT={port + 1000}"):
            require_free_ports("127.0.0.1", Ports(free.http, port, free.metrics))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ServerStartError, match="cannot"):
        require_free_port(host, 0, "PORT")


def test_free_ports_are_three() -> None:
    ports = free_ports()
    assert len({ports.http, ports.grpc, ports.metrics}) == 3


@pytest.mark.parametrize(
    ("listen", "connect"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("::", "[::1]"),
        ("fe80::1", "[fe80::1]"),
        ("gpu1", "gpu1"),
    ],
)
def test_every_address_to_listen_on_has_one_to_connect_to(listen: str, connect: str) -> None:
    assert connect_host(listen) == connect
