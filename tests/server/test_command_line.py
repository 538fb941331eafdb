from pathlib import Path

import pytest

from packrank_build.tensorrt.targets import TARGETS
from packrank_server.command_line import RESTRICTED_APIS, restriction_flags, tritonserver_command
from packrank_server.engine.gpu import Gpu
from packrank_server.installation import Installation
from packrank_server.ports import Ports
from tests.support.repository import ROOT

REPOSITORY = ROOT / "model_repository"
INSTALLED = Installation(Path("/server/bin/tritonserver"), None, {})
GPUS = [Gpu("NVIDIA L4", "8.9", 23034 << 20)] * 2
NO_POOL = ["--cuda-memory-pool-byte-size=0:0", "--cuda-memory-pool-byte-size=1:0"]


def command(config_name: str, gpus: list[Gpu], host: str = "127.0.0.1") -> list[str]:
    return tritonserver_command(INSTALLED, REPOSITORY, config_name=config_name, host=host, ports=Ports(), gpus=gpus)


@pytest.mark.parametrize("target", TARGETS)
def test_a_gpu_config_turns_the_memory_pool_of_every_gpu_off(target: str) -> None:
    assert [flag for flag in command(target, GPUS) if "memory-pool" in flag] == NO_POOL


@pytest.mark.parametrize("config_name", ["cpu", "onnx"])
def test_other_configs_leave_it_as_it_is(config_name: str) -> None:
    assert not [flag for flag in command(config_name, GPUS) if "memory-pool" in flag]


def test_a_gpu_config_without_a_gpu_names_none() -> None:
    assert not [flag for flag in command("l4", []) if "memory-pool" in flag]


def test_every_server_restricts_the_administrative_apis() -> None:
    flags = [flag for flag in command("cpu", []) if "restricted" in flag]
    assert [flag.partition("=")[0] for flag in flags] == ["--http-restricted-api", "--grpc-restricted-protocol"]
    for flag in flags:
        apis, _, key = flag.partition("=")[2].partition(":")
        assert apis == "shared-memory,model-repository,trace,logging" == ",".join(RESTRICTED_APIS)
        assert len(key.partition("=")[2]) == 64
    assert restriction_flags() != restriction_flags(), "the key is new at every start"


def test_all_three_listen_on_the_same_address() -> None:
    addresses = [flag for flag in command("cpu", [], "192.0.2.1") if "-address=" in flag]
    assert addresses == [f"--{kind}-address=192.0.2.1" for kind in ("http", "grpc", "metrics")]
