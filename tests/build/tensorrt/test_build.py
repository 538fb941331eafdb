"""Real builds by TensorRT-RTX of a two-layer slice at Llama-3.2-1B's width, without a GPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
from google.protobuf import text_format
from onnx import helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.attention import AttentionForm
from packrank_build.graph.ops import Precision
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.tensorrt.build import engine_from_onnx
from packrank_build.tensorrt.log import BuildMessages, EngineError
from packrank_build.tensorrt.memory import weight_bytes
from packrank_build.tensorrt.targets import TARGETS, Profile, Target
from tests.checks.engine import check_target, tensorrt_rtx, write_graph
from tests.support.random_checkpoint import random_architecture, random_weight
from tests.support.repository import ROOT

REPOSITORY = ROOT / "model_repository"
SLICE = random_architecture("llama-3.2-1b", num_hidden_layers=2, vocab_size=256)


@pytest.fixture(scope="module")
def fp16_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slice") / "model.onnx"
    write_graph(SLICE, "fp16", path)
    return path


def build(graph: Path, target: Target, architecture: Architecture = SLICE, repository: Path = REPOSITORY) -> Any:
    engine = engine_from_onnx(
        tensorrt_rtx(), graph, architecture, target, repository, BuildMessages(), cross_build=True
    )
    return engine.nbytes


def small_graph(path: Path, precision: Precision, attention: AttentionForm) -> Architecture:
    """Write one layer, only as wide as the kernels need."""
    small = random_architecture(
        "llama-3.2-1b",
        num_hidden_layers=1,
        vocab_size=64,
        hidden_size=256,
        intermediate_size=512,
        num_attention_heads=4,
        num_key_value_heads=1,
    )
    shapes = small.weight_shapes()
    weights = {name: random_weight(name, shape, 0) for name, shape in shapes.items()}
    ir.save(packed_graph(small, weights.__getitem__, precision, 8192, attention=attention), path)
    return small


@pytest.mark.parametrize("name", ["a100", "a10g", "l4"])
def test_every_profile_is_valid_and_takes_the_memory_that_the_budgets_assume(name: str, fp16_graph: Path) -> None:
    checks = list(check_target(tensorrt_rtx(), fp16_graph, SLICE, TARGETS[name], REPOSITORY))
    assert [check.profile for check in checks] == list(TARGETS[name].profiles)
    assert {check.built_for for check in checks} == {TARGETS[name].sm}
    assert not [check for check in checks if check.wrong()]


def test_bf16_builds_too(tmp_path: Path) -> None:
    write_graph(SLICE, "bf16", tmp_path / "model.onnx")
    assert build(tmp_path / "model.onnx", TARGETS["l40s"]) > 0


def test_fp8_builds_for_the_hardware_that_has_it_and_for_no_other(tmp_path: Path) -> None:
    write_graph(SLICE, "fp8", tmp_path / "model.onnx")
    weights = (tmp_path / "model.onnx.data").stat().st_size
    assert weights == pytest.approx(weight_bytes(SLICE, "fp8", 8192), rel=0.01)
    # The builder may keep a projection twice, in the layouts of two kernels; in fp16 it would be twice as large.
    assert build(tmp_path / "model.onnx", TARGETS["l4"]) < (weights + weight_bytes(SLICE, "fp16", 8192)) / 2
    with pytest.raises(EngineError, match="fp8_e4m3"):
        build(tmp_path / "model.onnx", TARGETS["a10g"])


def test_a_causal_model_needs_no_mask(tmp_path: Path) -> None:
    causal = dataclasses.replace(SLICE, causal=True)
    write_graph(causal, "fp16", tmp_path / "model.onnx")
    assert build(tmp_path / "model.onnx", TARGETS["a100"], causal) > 0


def test_attention_that_does_not_fuse_fails_the_build(tmp_path: Path) -> None:
    """fp32 has no fused kernel, so this shows that unfused attention fails the build."""
    small = small_graph(tmp_path / "fp32.onnx", "fp32", "kv_lengths")
    with pytest.raises(EngineError, match="not supported by a dedicated kernel"):
        build(tmp_path / "fp32.onnx", TARGETS["l4"], small)


def test_the_row_mask_builds_where_lengths_have_no_kernel(tmp_path: Path) -> None:
    small = small_graph(tmp_path / "model.onnx", "fp16", "row_mask")
    assert build(tmp_path / "model.onnx", TARGETS["l4"], small) > 0


def test_the_form_whose_lengths_tensorrt_drops_is_refused(tmp_path: Path) -> None:
    small = small_graph(tmp_path / "lengths.onnx", "fp16", "lengths")
    with pytest.raises(EngineError, match=r"has neither .*attend beyond the pairs' ends.*kv_lengths"):
        build(tmp_path / "lengths.onnx", TARGETS["l4"], small)


def test_a_longest_length_computed_from_values_is_refused(tmp_path: Path) -> None:
    small = small_graph(tmp_path / "values.onnx", "fp16", "kv_lengths")
    model = onnx.load(tmp_path / "values.onnx")
    nodes = model.graph.node
    (place,) = (i for i, node in enumerate(nodes) if node.op_type == "Shape" and node.input[0] == "max_len")
    (longest,) = nodes[place].output
    nodes.remove(nodes[place])
    nodes.insert(place, helper.make_node("Cast", ["longest_value"], [longest], to=onnx.TensorProto.INT64))
    nodes.insert(place, helper.make_node("ReduceMax", ["seq_lens"], ["longest_value"], keepdims=1))
    onnx.save(model, tmp_path / "values.onnx")
    with pytest.raises(EngineError, match="ignores the inputs max_len"):
        build(tmp_path / "values.onnx", TARGETS["l4"], small)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda config: config.input.pop(), "the network's inputs are .*'max_len_carrier'"),
        (lambda config: config.batch_input.pop(), "the network's inputs are .*'max_len'"),
        (lambda config: setattr(config.input[1], "data_type", 9), "the network's inputs are "),
        (lambda config: setattr(config.output[0], "name", "scores"), "the network's outputs are .*'logits'"),
    ],
)
def test_a_config_that_names_other_tensors_is_refused(change: Any, text: str, tmp_path: Path) -> None:
    small = small_graph(tmp_path / "model.onnx", "fp16", "kv_lengths")
    config = text_format.Parse((REPOSITORY / "ranker" / "configs" / "l4.pbtxt").read_text(), ModelConfig())
    change(config)
    edited = tmp_path / "ranker" / "configs" / "l4.pbtxt"
    edited.parent.mkdir(parents=True)
    edited.write_text(text_format.MessageToString(config))
    with pytest.raises(EngineError, match=text):
        build(tmp_path / "model.onnx", TARGETS["l4"], small, tmp_path)


def test_an_impossible_profile_is_refused(tmp_path: Path) -> None:
    small = small_graph(tmp_path / "model.onnx", "fp16", "kv_lengths")
    upside_down = Profile("upside_down", tokens=(9, 5, 2), pairs=(1, 1, 1), max_len=(1, 1, 1))
    with pytest.raises(EngineError, match="refuses the profile upside_down"):
        build(tmp_path / "model.onnx", dataclasses.replace(TARGETS["l4"], profiles=(upside_down,)), small)


def test_a_graph_that_the_parser_does_not_know_is_refused_with_its_words(tmp_path: Path) -> None:
    small_graph(tmp_path / "model.onnx", "fp16", "kv_lengths")
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(EngineError, match=r"refuses model\.onnx: .*NoSuchOperator"):
        build(tmp_path / "model.onnx", TARGETS["l4"])


def test_nothing_that_looks_like_a_plan_is_left_behind(fp16_graph: Path) -> None:
    before = sorted(REPOSITORY.rglob("*"))
    build(fp16_graph, TARGETS["l4"])
    assert sorted(REPOSITORY.rglob("*")) == before
    assert sorted(path.name for path in fp16_graph.parent.iterdir()) == ["model.onnx", "model.onnx.data"]


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops in TensorRT-RTX:DeprecationWarning")
def test_progress_is_shown_and_a_timing_cache_is_written(tmp_path: Path) -> None:
    small = small_graph(tmp_path / "model.onnx", "fp16", "kv_lengths")
    cache, steps = tmp_path / "cache" / "SM89.cache", list[str]()
    for _ in range(2):
        engine_from_onnx(
            tensorrt_rtx(),
            tmp_path / "model.onnx",
            small,
            TARGETS["l4"],
            REPOSITORY,
            BuildMessages(),
            cross_build=True,
            timing_cache=cache,
            progress=steps.append,
        )
    assert cache.is_file()
    assert any(" of " in step for step in steps)
