"""FP8 (E4M3) projections: a pass over a written graph, and the calibration of its scales.

Every projection of every layer reads activations and weights in 8 bits. Activations have one scale per tensor. Weights
have one per output: small columns would otherwise be rounded among the subnormals that a large column leaves them.
Score head, norms and attention stay as they are.

The pass writes quantise/dequantise pairs. TensorRT turns them into FP8 matrix products on SM89 and SM90. ONNX Runtime
computes them as they stand: it rounds to FP8 and multiplies in the graph's precision. E4M3 is that of Micikevicius et
al. 2022 (arXiv:2209.05433), in ONNX FLOAT8E4M3FN: largest value 448, no infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from packrank_backend.packing import PackedPairs, run_inputs
from packrank_build.graph.ops import Ops
from packrank_build.quantize.projections import Projection, finish, projections

LARGEST = 448.0
_SIZE = ".activation_size"


def with_activation_sizes(model: ir.Model) -> ir.Model:
    """Add one output per projection, in place: FP32 [], the largest |activation| that it reads."""
    op = Ops(model.graph)
    for projection in projections(model):
        largest = op.ReduceMax(op.Abs(projection.activation), keepdims=0, name=projection.name + _SIZE)
        largest.type, largest.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
        model.graph.outputs.append(largest)
    return model


def activation_sizes(graph: Path, requests: Sequence[PackedPairs]) -> dict[str, float]:
    """Run a graph of `with_activation_sizes`: weight name -> the largest |activation| that meets it in any request."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.name.endswith(_SIZE)]
    sizes = dict.fromkeys(names, 0.0)
    for request in requests:
        for name, size in zip(names, session.run(names, run_inputs([request])), strict=True):
            sizes[name] = max(sizes[name], float(size))
    return {name.removesuffix(_SIZE): size for name, size in sizes.items()}


def fp8_graph(model: ir.Model, sizes: Mapping[str, float], compute: ir.DataType) -> ir.Model:
    """Quantise both operands of every projection, in place. `compute` is the dtype that the graph multiplies in.

    `sizes` come from `activation_sizes`. A larger activation saturates at the largest one seen there.
    """
    op = Ops(model.graph)
    # the zero point says nothing but that the result is E4M3
    zero = op.constant("fp8_zero", np.zeros((), ml_dtypes.float8_e4m3fn))
    rounded: dict[ir.Value, ir.Value] = {}  # query, key and value read the same activation, gate and up too
    for projection in projections(model):
        name, activation = projection.name, projection.activation
        if activation not in rounded:
            scale = op.constant(f"{name}.activation_scale", scale_of(sizes[name], compute.numpy()))
            rounded[activation] = op.DequantizeLinear(op.QuantizeLinear(activation, scale, zero), scale)
        projection.matmul.replace_input_with(0, rounded[activation])
        projection.matmul.replace_input_with(1, _dequantised_weight(op, projection, compute))
    return finish(model)


def _dequantised_weight(op: Ops, projection: Projection, compute: ir.DataType) -> ir.Value:
    """A weight that is stored in E4M3 [inputs, outputs] with scales [outputs], both computed when it is saved."""
    stored, name = projection.stored, projection.name
    shape = tuple(stored.shape.numpy())

    def values() -> NDArray[np.float32]:
        return stored.numpy().astype(np.float32)

    def scales() -> NDArray[Any]:
        return scale_of(np.abs(values()).max(axis=0), compute.numpy())

    def fp8() -> NDArray[Any]:
        return to_fp8(values(), scales())

    weight = op.lazy_constant(f"{name}.fp8", ir.DataType.FLOAT8E4M3FN, shape, fp8)
    return op.DequantizeLinear(weight, op.lazy_constant(f"{name}.weight_scale", compute, shape[1:], scales), axis=1)


def scale_of(largest: float | NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Divide by 448, so that `largest` becomes E4M3's largest value; in the graph's dtype, and never 0."""
    scale: NDArray[Any] = np.asarray(largest / LARGEST).astype(dtype)
    never_zero: NDArray[Any] = np.maximum(scale, np.finfo(dtype).smallest_subnormal)
    return never_zero


def to_fp8(values: NDArray[np.float32], scale: NDArray[Any]) -> NDArray[Any]:
    """Divide by the scale, one for all or one per column, and round to E4M3. Values beyond 448 saturate."""
    scaled: NDArray[Any] = np.clip(values / scale.astype(np.float32), -LARGEST, LARGEST)
    return scaled.astype(ml_dtypes.float8_e4m3fn)
