import os
import signal
import socket
from pathlib import Path

import pytest

from packrank_server.errors import ServerStartError
from packrank_server.ports import Ports, free_ports
from packrank_server.stub_processes import stubs
from packrank_server.supervision.shared_memory import SHARED_MEMORY
from packrank_server.tritonserver import TritonServer
from tests.support.eventually import eventually
from tests.support.repository import empty_repository


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("victim", ["tritonserver", "ranker"])
def test_a_killed_process_leaves_no_shared_memory(victim: str, repository: Path, tmp_path: Path) -> None:
    with TritonServer(repository, ports=free_ports(), log=tmp_path / "log") as server:
        running = list(stubs(server.process.pid))
        regions = [SHARED_MEMORY / stub.region.lstrip("/") for stub in running]
        assert {stub.model for stub in running} >= {"tokenizer", "ranker", "postprocessor"}
        assert not any(region.exists() for region in regions), "its name is gone as soon as both sides have mapped it"
        pids = {stub.model: stub.pid for stub in running} | {"tritonserver": server.process.pid}
        os.kill(pids[victim], signal.SIGKILL)
        eventually(server.failure, "the death is seen")
    assert not any(region.exists() for region in regions)
    assert not list(stubs(pids["tritonserver"]))
