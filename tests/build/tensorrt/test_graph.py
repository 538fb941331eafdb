"""TensorRT's form of the graph: its numbers on a CPU, and what TensorRT-RTX makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from packrank_backend.packing import pack, run_inputs
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.reference import reference_logits
from packrank_build.tensorrt.build import engine_from_onnx
from packrank_build.tensorrt.graph import with_fp32_accumulators
from packrank_build.tensorrt.log import BuildMessages
from packrank_build.tensorrt.targets import TARGETS, EnginePrecision
from tests.checks.engine import tensorrt_rtx, write_graph
from tests.support.random_checkpoint import random_architecture, random_weight
from tests.support.repository import ROOT
from tests.support.rtx_plan import FP32_SUMS, Product, fused_attention_kernels, products

REPOSITORY = ROOT / "model_repository"
SLICE = random_architecture("llama-3.2-1b", num_hidden_layers=2, vocab_size=256)


def test_fp32_accumulators_change_no_logit_by_more_than_fp16_does(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)
    random = np.random.default_rng(0)
    pairs = [random.integers(0, 128256, length).tolist() for length in (1, 17, 96, 40)]
    expected = reference_logits(checkpoint, pairs)
    differences = []
    for name, change in (("plain", lambda graph: graph), ("fp32_sums", with_fp32_accumulators)):
        path = tmp_path / f"{name}.onnx"
        ir.save(change(packed_graph(checkpoint.architecture, checkpoint.weight, "fp16", 96)), path)
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        differences.append(np.abs(session.run(["logits"], run_inputs([pack(pairs)]))[0] - expected).max())
    assert 1e-6 < differences[1] < 0.02
    assert differences[1] <= 2 * differences[0]


@pytest.mark.parametrize("target", ["a100", "a10g", "l4"])
def test_tensorrt_reads_fp16_and_adds_in_fp32(target: str, tmp_path: Path) -> None:
    layers = projections(built("fp16", target, tmp_path))
    assert {product.operands for product in layers} == {("half", "half")}
    assert {product.sums for product in layers} == {FP32_SUMS}


def test_without_the_casts_tensorrt_is_free_to_add_in_fp16(tmp_path: Path) -> None:
    shapes = SLICE.weight_shapes()
    plain = packed_graph(SLICE, lambda name: random_weight(name, shapes[name], 0), "fp16", 8192, attention="kv_lengths")
    ir.save(plain, tmp_path / "plain.onnx", external_data="plain.onnx.data")
    assert {product.sums for product in projections(plan_of(tmp_path / "plain.onnx", "l4"))} == {0}


def test_fp8_products_read_fp8_on_both_sides(tmp_path: Path) -> None:
    plan = built("fp8", "l4", tmp_path)
    assert {product.operands for product in projections(plan)} == {("fp8_e4m3", "fp8_e4m3")}
    assert fused_attention_kernels(plan) > 0


def projections(plan: bytes) -> list[Product]:
    """List the products but the score head, which is fp32."""
    low = [product for product in products(plan) if product.operands != ("float", "float")]
    assert len(products(plan)) - len(low) == 1
    assert len(low) == 4 * SLICE.layers, "q, k and v are one product, gate and up another"
    return low


def built(precision: EnginePrecision, target: str, directory: Path) -> bytes:
    path = directory / "model.onnx"
    write_graph(SLICE, precision, path)
    return plan_of(path, target)


def plan_of(path: Path, target: str) -> bytes:
    engine = engine_from_onnx(
        tensorrt_rtx(),
        path,
        SLICE,
        TARGETS[target],
        REPOSITORY,
        BuildMessages(),
        profiles=TARGETS[target].profiles[:1],
        cross_build=True,
    )
    return bytes(engine)
