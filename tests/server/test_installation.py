import os
import shlex
import sys
from pathlib import Path

import pytest

from packrank_client import RerankClient
from packrank_server.installation import find_installation
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

INTERPRETER = str(Path(sys.prefix, "bin"))


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first on PATH, with a python3 that has no packages, as in NVIDIA's image."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "python3").symlink_to(Path(sys.base_prefix, "bin", "python3"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(directory), os.environ["PATH"]]))
    return directory


def test_the_wheels_server_finds_this_interpreter_first(on_path: Path) -> None:
    installed = find_installation()
    assert installed.backends is not None
    assert installed.environment["PATH"].split(os.pathsep)[:2] == [INTERPRETER, str(on_path)]


def test_a_link_to_the_wheels_server_on_path_is_the_wheels(on_path: Path) -> None:
    from_wheel = find_installation()
    (on_path / "tritonserver").symlink_to(from_wheel.binary)
    assert find_installation() == from_wheel


def test_a_server_on_path_serves_with_this_interpreters_packages(
    on_path: Path, repository: Path, tmp_path: Path
) -> None:
    from_wheel = find_installation()
    server = on_path / "tritonserver"
    libraries = shlex.quote(from_wheel.environment["LD_LIBRARY_PATH"])
    command = f"{from_wheel.binary} --backend-directory={from_wheel.backends}"
    server.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {command} "$@"\n')
    server.chmod(0o755)
    installed = find_installation()
    assert (installed.binary, installed.backends) == (server, None)
    assert installed.environment["PATH"].split(os.pathsep)[:2] == [INTERPRETER, str(on_path)]
    with TritonServer(repository, ports=free_ports(), log=tmp_path / "log") as running:
        with RerankClient(running.grpc_endpoint) as client:
            assert len(client.rerank("who?", ["me", "you"])) == 2
