import socket
from pathlib import Path

import pytest

from packrank_server.tritonserver import Ports, ServerStartError, TritonServer, free_ports
from tests.support.repository import empty_repository


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = free_ports()
        with (
            pytest.raises(ServerStartError, match=f"port {port} .*choose another with GRPC_PORT="),
            TritonServer(tmp_path, ports=Ports(free.http, port, free.metrics)),
        ):
            pass


def test_a_repository_without_a_model_says_what_to_run(tmp_path: Path) -> None:
    repository = empty_repository(tmp_path / "repository")
    server = TritonServer(repository, ports=free_ports(), log=tmp_path / "log")
    with pytest.raises(ServerStartError, match="no model has been built. Run `make model`"), server:
        pass
    with pytest.raises(ServerStartError, match="has not been started"):
        _ = server.process


def test_free_ports_are_three() -> None:
    ports = free_ports()
    assert len({ports.http, ports.grpc, ports.metrics}) == 3
