from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from packrank_backend.packing import PackedPairs, pack, run_inputs
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.quantize.fp8 import (
    activation_sizes,
    column_divisors,
    fp8_graph,
    scale_of,
    to_fp8,
    with_activation_sizes,
)
from tests.support.random_checkpoint import random_architecture, random_weight

TINY = random_architecture("tiny", vocab_size=256)
SHAPES = TINY.weight_shapes()
REQUEST = pack([[1, 2, 3, 4, 5], [6], list(range(40))])


def weight(name: str) -> NDArray[np.float32]:
    return random_weight(name, SHAPES[name], 0)


def run(path: Path, request: PackedPairs = REQUEST) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits: NDArray[np.float32] = session.run(["logits"], run_inputs([request]))[0]
    return logits


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    path = tmp_path_factory.mktemp("sizes") / "measuring.onnx"
    ir.save(with_activation_sizes(packed_graph(TINY, weight, "fp32", 64)), path)
    return activation_sizes(path, [REQUEST])


def test_every_projection_is_measured_and_no_other_product(sizes: dict[str, float]) -> None:
    assert sizes.keys() == {name for name in SHAPES if name.endswith("_proj.weight")}
    assert all(0 < size < 1000 for size in sizes.values())
    first = "model.layers.0.self_attn"
    assert sizes[f"{first}.q_proj.weight"] == sizes[f"{first}.k_proj.weight"], "they read the same"


def test_sizes_are_the_largest_of_all_requests(sizes: dict[str, float], tmp_path: Path) -> None:
    ir.save(with_activation_sizes(packed_graph(TINY, weight, "fp32", 64)), tmp_path / "m.onnx")
    one, other = pack([[1, 2]]), pack([[200, 201, 202]])
    apart = [activation_sizes(tmp_path / "m.onnx", [request]) for request in (one, other)]
    together = activation_sizes(tmp_path / "m.onnx", [one, other])
    assert together == {name: max(apart[0][name], apart[1][name]) for name in sizes}


def test_rounding_is_e4m3s_and_saturates() -> None:
    values = np.array([1.0, -1.0, 0.5, 1e-9, 1.01, 2.0], np.float32)
    rounded = to_fp8(values, scale_of(1.0, np.dtype(np.float32)))
    assert rounded.dtype == ml_dtypes.float8_e4m3fn
    assert rounded.astype(np.float32).tolist() == [448, -448, 224, 0, 448, 448]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_every_column_keeps_its_bits_also_a_tiny_and_an_empty_one(dtype: type[np.floating]) -> None:
    values = np.array([[1.0, 2e-3, 0.0], [0.5, -1e-3, 0.0]], np.float32)
    divisors = column_divisors(values, np.dtype(dtype))
    assert divisors.dtype == dtype
    assert 0 < divisors.min() <= divisors.max() == 1
    scale = scale_of(np.abs(values).max(), np.dtype(dtype))
    stretched = to_fp8(np.divide(values, divisors, dtype=np.float32), scale).astype(np.float32)
    restored = stretched * scale.astype(np.float32) * divisors.astype(np.float32)
    # half a step of E4M3's 3 bits; without stretching, the second column would keep less than one
    np.testing.assert_allclose(restored, values, rtol=2**-4)


def test_a_weight_of_zeros_stays_zero() -> None:
    assert (column_divisors(np.zeros((2, 2), np.float32), np.dtype(np.float16)) > 0).all()


@pytest.mark.parametrize("emulate", [False, True])
def test_scores_stay_near_and_only_projections_are_rounded(
    emulate: bool, sizes: dict[str, float], tmp_path: Path
) -> None:
    plain, rounded = tmp_path / "fp32.onnx", tmp_path / "fp8.onnx"
    ir.save(packed_graph(TINY, weight, "fp32", 64), plain)
    base = packed_graph(TINY, weight, "fp16" if emulate else "fp32", 64, emulate=emulate)
    ir.save(fp8_graph(base, sizes, ir.DataType.FLOAT), rounded)
    onnx.checker.check_model(rounded, full_check=True)
    difference = np.abs(run(rounded) - run(plain)).max()
    assert 1e-3 < difference < 0.2 * np.abs(run(plain)).max()
    model = onnx.load(rounded)
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {f"{name}.fp8" for name in SHAPES if name.endswith("_proj.weight")} <= weights
    assert not {name for name in SHAPES if name.endswith("_proj.weight")} & weights, "the weight itself is gone"
    assert "score.weight" in weights
    first = "model.layers.0.mlp.down_proj.weight"
    dims = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert dims[f"{first}.weight_scale"] == dims[f"{first}.activation_scale"] == [], "one for each tensor"
    assert dims[f"{first}.column_divisors"] == [SHAPES[first][0]], "one for each output"
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 4 * TINY.layers
