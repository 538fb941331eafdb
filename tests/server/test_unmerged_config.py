from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from packrank_server.unmerged_config import LIBRARY_FILE, has_batching_strategy, write_unmerged_config
from tests.support.repository import empty_repository


def test_the_unmerged_twin_differs_only_in_batching(tmp_path: Path) -> None:
    repository = empty_repository(tmp_path / "repository")
    configs = repository / "ranker" / "configs"
    assert write_unmerged_config(repository, "cpu") == "cpu-unmerged"
    original = text_format.Parse((configs / "cpu.pbtxt").read_text(), ModelConfig())
    unmerged = text_format.Parse((configs / "cpu-unmerged.pbtxt").read_text(), ModelConfig())
    assert original.HasField("dynamic_batching")
    assert not unmerged.HasField("dynamic_batching")
    original.ClearField("dynamic_batching")
    assert unmerged == original


def test_a_model_without_that_named_config_falls_back_as_triton_does(tmp_path: Path) -> None:
    (tmp_path / "ranker").mkdir()
    (tmp_path / "ranker" / "config.pbtxt").write_text('name: "ranker" dynamic_batching { }')
    write_unmerged_config(tmp_path, "h100")
    assert (tmp_path / "ranker" / "configs" / "h100-unmerged.pbtxt").read_text() == 'name: "ranker"\n'


def test_the_library_is_looked_for_where_triton_does(tmp_path: Path) -> None:
    version = tmp_path / "ranker" / "1"
    version.mkdir(parents=True)
    assert not has_batching_strategy(tmp_path)
    (version / LIBRARY_FILE).touch()
    assert has_batching_strategy(tmp_path)


def test_where_no_twin_can_be_written_the_remedy_is_named(tmp_path: Path) -> None:
    server = TritonServer(tmp_path / "no-repository", ports=free_ports())
    with pytest.raises(ServerStartError, match="run `make batching` where the model repository can be written"), server:
        pass
