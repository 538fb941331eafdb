import dataclasses
import json
from pathlib import Path

import pytest

from packrank_backend.build_record import read_build_record
from packrank_server.engine.engine_record import (
    EngineRecord,
    UnservableEngine,
    configured_plan,
    read_engine_record,
    record_file,
    require_servable,
)
from packrank_server.engine.gpu import Gpu
from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

L4 = Gpu("NVIDIA L4", "8.9", 23034 << 20)
A10G = Gpu("NVIDIA A10G", "8.6", 23028 << 20)
TENSORRT = "11.2.3.45"


@pytest.fixture
def published(repository: Path, tmp_path: Path) -> Path:
    """A repository with what an engine for l4 leaves, but for the engine's content."""
    directory = tmp_path / "model_repository"
    for part in ("ranker/1", "ranker/configs", "tokenizer/1"):
        (directory / part).mkdir(parents=True)
    for part in ("ranker/configs/l4.pbtxt", "ranker/configs/cpu.pbtxt", "tokenizer/1/build.json"):
        (directory / part).write_bytes((repository / part).read_bytes())
    plan = directory / "ranker" / "1" / "l4.sm89.plan"
    plan.write_bytes(b"")
    record(directory).write(plan)
    return directory


def record(repository: Path) -> EngineRecord:
    return EngineRecord(
        build_id=read_build_record(repository / "tokenizer" / "1").build_id,
        revision="r",
        target="l4",
        gpu=L4.name,
        compute_capability="8.9",
        tensorrt=TENSORRT,
        precision="fp16",
        max_pair_tokens=8192,
        profiles={"one_query": {"input_ids": [1, 2, 3]}},
        onnx_sha256="",
        plan_sha256="",
        parity={},
    )


def test_a_record_is_read_as_written(published: Path) -> None:
    plan = published / "ranker" / "1" / "l4.sm89.plan"
    assert configured_plan(published, "l4") == ("8.9", plan)
    assert read_engine_record(plan) == record(published)


def test_the_right_gpu_server_and_build_are_servable(published: Path) -> None:
    require_servable(published, "l4", [A10G, L4], TENSORRT)


@pytest.mark.parametrize("name", ["cpu", "unknown"])
def test_a_config_without_a_plan_asks_for_nothing(name: str, published: Path) -> None:
    require_servable(published, name, [], None)


@pytest.mark.parametrize(
    ("gpus", "tensorrt", "text"),
    [
        ([L4], None, "needs Triton's TensorRT backend.*use NVIDIA's tritonserver image, or the config cpu"),
        ([], TENSORRT, "compute capability 8.9; GPUs here: none.*--gpus"),
        ([A10G], TENSORRT, r"compute capability 8.9; GPUs here: NVIDIA A10G \(8.6\)"),
        ([L4], "11.2.3.46", "built by TensorRT 11.2.3.45, the server has 11.2.3.46.*TARGET=l4` again"),
    ],
)
def test_what_is_in_the_way_is_named_with_its_remedy(
    gpus: list[Gpu], tensorrt: str | None, text: str, published: Path
) -> None:
    with pytest.raises(UnservableEngine, match=text):
        require_servable(published, "l4", gpus, tensorrt)


def test_an_engine_of_another_build_is_refused(published: Path) -> None:
    plan = published / "ranker" / "1" / "l4.sm89.plan"
    dataclasses.replace(record(published), build_id="another").write(plan)
    with pytest.raises(UnservableEngine, match="is of build another, the published tokenizer of"):
        require_servable(published, "l4", [L4], TENSORRT)


def test_a_plan_without_its_record_does_not_count(published: Path) -> None:
    plan = published / "ranker" / "1" / "l4.sm89.plan"
    record_file(plan).unlink()
    with pytest.raises(UnservableEngine, match="no engine has been built. Run `make engine TARGET=l4`"):
        require_servable(published, "l4", [L4], TENSORRT)


def test_a_record_of_another_format_is_refused(published: Path) -> None:
    path = record_file(published / "ranker" / "1" / "l4.sm89.plan")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 0}))
    with pytest.raises(UnservableEngine, match="has format 0, not 1. Run `make engine TARGET=l4`"):
        require_servable(published, "l4", [L4], TENSORRT)


def test_the_server_says_so_before_it_starts(published: Path) -> None:
    server = TritonServer(published, config_name="l4", ports=free_ports())
    with pytest.raises(ServerStartError, match="needs Triton's TensorRT backend"), server:
        pass
