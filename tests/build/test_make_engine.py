"""Everything around the GPU: refusals, the gate, publishing. A CPU ranker replaces the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.packing import PackedPairs
from packrank_backend.ranker.cpu_ranker import CpuRanker
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.parity import ParityError
from packrank_build.make_engine import make_engine, require_gpu, require_same_tensorrt, require_server_tensorrt
from packrank_build.make_model import make_model
from packrank_build.tensorrt.log import EngineError
from packrank_build.tensorrt.parity import Ranker, engine_questions
from packrank_build.tensorrt.targets import TARGETS, EnginePrecision
from packrank_server.engine.engine_record import EngineRecord, read_engine_record
from packrank_server.engine.gpu import Gpu
from tests.support.repository import empty_repository

L4 = Gpu("NVIDIA L4", "8.9", 23034 << 20)
PLAN = b"no engine: this test has no GPU"


@pytest.fixture(scope="module")
def fp16_repository(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    repository = empty_repository(tmp_path_factory.mktemp("fp16") / "model_repository")
    make_model(str(tiny_checkpoint), repository, precision="fp16", max_pair_tokens=512)
    return repository


class Altered:
    """A ranker whose logits are changed before anyone sees them."""

    def __init__(self, ranker: Ranker, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self.ranker = ranker
        self.change = change

    def logits(self, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
        return [self.change(logits) for logits in self.ranker.logits(requests)]


def build(
    repository: Path,
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda logits: logits,
    *,
    target: str = "l4",
    precision: EnginePrecision = "fp16",
    model: str | None = None,
    check: Callable[[Path], None] = lambda graph: None,
    inspected: str | None = None,
) -> EngineRecord:
    directory = repository / "ranker" / "1"
    record = read_build_record(directory)
    cpu = CpuRanker(directory / "model.onnx", record, threads=0, max_run_tokens=1024, max_attention_bytes=1 << 29)

    def plan_of(graph: Path, checkpoint: Checkpoint) -> bytes:
        check(graph)
        assert checkpoint.architecture.layers == 3
        return PLAN

    return make_engine(
        TARGETS[target],
        precision,
        repository,
        gpu=L4,
        tensorrt="11.2.3.45",
        build=plan_of,
        inspect=lambda plan: inspected or information(precision),
        ranker=lambda plan: Altered(cpu, change),
        model=model,
    )


def information(precision: str, kernel: str = "xmma_gemm_f16f16_f16f32_f32_tn_n") -> str:
    """Make the engine inspector's JSON of one layer."""
    kind = {"Format/Datatype": "FP8" if precision == "fp8" else "Half"}
    product = {"Name": "q_proj", "LayerType": "gemm", "TacticName": kernel, "Inputs": [kind, kind]}
    return json.dumps({"Layers": [product, {"Name": "_gemm_mha_v2_myl0_7", "Inputs": [kind, kind, kind]}]})


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_an_engine_that_passes_is_published_with_its_record(fp16_repository: Path) -> None:
    record = build(fp16_repository)
    plan = fp16_repository / "ranker" / "1" / "l4.sm89.plan"
    assert plan.read_bytes() == PLAN
    assert read_engine_record(plan) == EngineRecord(**json.loads(json.dumps(vars(record))))
    assert record.build_id == read_build_record(fp16_repository / "tokenizer" / "1").build_id
    assert (record.target, record.gpu, record.tensorrt, record.precision) == ("l4", L4.name, "11.2.3.45", "fp16")
    assert record.profiles["few_pairs"]["max_len"] == (1, 256, 8192)
    assert 0 < record.parity["max_difference"] < 0.1
    assert record.parity["kendall_tau"] > 0.99
    assert record.parity["top_overlap"] == 1
    assert not list(fp16_repository.glob(".staging*"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda logits: logits + np.float32(0.5), "max_share, mean_share"),
        (lambda logits: logits * np.float32(np.nan), "max_share, mean_share, kendall_tau"),
        (lambda logits: -logits, "kendall_tau, top_overlap"),
        (lambda logits: logits[::-1], "max_share"),
    ],
)
def test_nothing_is_published_when_the_engine_is_off(
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]], text: str, fp16_repository: Path
) -> None:
    build(fp16_repository)
    before = contents(fp16_repository)
    with pytest.raises(ParityError, match=f"{text}.*Nothing was published"):
        build(fp16_repository, change)
    assert contents(fp16_repository) == before


def test_nothing_is_published_when_the_inspector_contradicts_the_precision(fp16_repository: Path) -> None:
    before = contents(fp16_repository)
    with pytest.raises(EngineError, match="1 products add in fp16. Nothing was published"):
        build(fp16_repository, inspected=information("fp16", "xmma_gemm_f16f16_f16f16_f16_tn_n"))
    with pytest.raises(EngineError, match="only 0 of 1 products have FP8 operands. Nothing was published"):
        build(fp16_repository, precision="fp8", inspected=information("fp16"))
    assert contents(fp16_repository) == before


def test_an_engine_that_scores_differently_when_merged_is_refused(fp16_repository: Path) -> None:
    calls = []

    def drifts(logits: NDArray[np.float32]) -> NDArray[np.float32]:
        calls.append(1)
        return logits + np.float32(0.5 if len(calls) > len(engine_questions()) else 0)

    with pytest.raises(ParityError, match="merged and alone differ by 5.00e-01"):
        build(fp16_repository, drifts)


def test_the_gate_asks_about_long_pairs_and_outliers_too() -> None:
    added = {named.name: named.question for named in engine_questions()[-2:]}
    assert sorted(added) == ["long pairs", "outliers"]
    assert max(len(passage.split()) for passage in added["long pairs"].passages) > 500
    assert any(len(set(passage)) == 1 for passage in added["outliers"].passages)


def test_a_checkpoint_that_changed_since_is_stale(fp16_repository: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    changed = tmp_path / "checkpoint"
    changed.mkdir()
    for file in tiny_checkpoint.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"temperature": 2.0}))
    with pytest.raises(StaleBuild, match="have changed since. Run `make model` again, then `make engine`"):
        build(fp16_repository, model=str(changed))


def test_a_precision_that_the_target_lacks_is_refused(fp16_repository: Path) -> None:
    with pytest.raises(EngineError, match="PRECISION=fp8: A10G is built in fp16 or bf16"):
        build(fp16_repository, target="a10g", precision="fp8")


def test_fp8_is_calibrated_on_the_way(fp16_repository: Path) -> None:
    record = build(fp16_repository, precision="fp8", check=has_fp8_weights)
    assert record.precision == "fp8"
    assert record.onnx_sha256 != build(fp16_repository).onnx_sha256


def has_fp8_weights(graph: Path) -> None:
    model = onnx.load(graph, load_external_data=False)
    weights = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".weight.fp8")]
    assert len(weights) == 3 * 7
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT8E4M3FN}


@pytest.mark.parametrize(
    ("target", "gpus", "text"),
    [
        ("l4", [], "no GPU here.*--gpus all.*make check-engine"),
        ("h100", [L4], r"needs compute capability 9.0, but here is NVIDIA L4 \(8.9\). Use TARGET=l4 or TARGET=l40s"),
        ("l4", [Gpu("Tesla T4", "7.5", 1)], r"Tesla T4 \(7.5\). Supported are b200, h200, h100, a100, l40s, l4, a10g"),
    ],
)
def test_the_wrong_gpu_is_refused_with_the_remedy(target: str, gpus: list[Gpu], text: str) -> None:
    with pytest.raises(EngineError, match=text):
        require_gpu(TARGETS[target], gpus)


def test_the_gpu_of_the_target_is_found_among_others() -> None:
    assert require_gpu(TARGETS["l4"], [Gpu("NVIDIA A10G", "8.6", 1), L4]) == L4


def test_a_server_without_tensorrt_is_refused() -> None:
    with pytest.raises(EngineError, match="has no TensorRT backend.*tritonserver image"):
        require_server_tensorrt(None)
    assert require_server_tensorrt("11.2.1.2") == "11.2.1.2"


@pytest.mark.parametrize(
    ("builder", "server", "text"),
    [
        (None, "11.2.3.45", "TensorRT of an unknown version, the server has 11.2.3.45: .* tensorrt-cu13-bindings=="),
        ("11.4.0.1", "10.11.0.33", "11.4.0.1, the server has 10.11.0.33: .* tensorrt-cu12-bindings==10.11.0.33"),
    ],
)
def test_another_tensorrt_than_the_servers_is_refused(builder: str | None, server: str, text: str) -> None:
    with pytest.raises(EngineError, match=text):
        require_same_tensorrt(builder, server)


def test_the_same_tensorrt_is_accepted() -> None:
    require_same_tensorrt("11.2.3.45", "11.2.3.45")
