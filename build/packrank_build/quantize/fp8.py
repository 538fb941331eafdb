"""FP8 (E4M3) projections: a pass over a written graph, and the calibration of its scales.

Every projection of every layer reads activations and weights in 8 bits, each with one scale per tensor: TensorRT's FP8
products take no other. A weight's columns are first stretched to the size of its largest one, and the product of each
column is shrunk again. Small columns would otherwise be rounded among the subnormals that a large column leaves them.
Score head, norms and attention stay as they are.

The pass writes quantise/dequantise pairs. TensorRT turns them into FP8 matrix products on SM89 and SM90, and the
shrinking into their epilogue. ONNX Runtime computes them as they stand: it rounds to FP8 and multiplies in the graph's
precision. E4M3 is that of Micikevicius et
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
    # the zero point only says that the result is E4M3
    zero = op.constant("fp8_zero", np.zeros((), ml_dtypes.float8_e4m3fn))
    rounded: dict[ir.Value, ir.Value] = {}  # query, key and value read the same one; so do gate and up
    for projection in projections(model):
        name, activation = projection.name, projection.activation
        if activation not in rounded:
            scale = op.constant(f"{name}.activation_scale", scale_of(sizes[name], compute.numpy()))
            rounded[activation] = op.DequantizeLinear(op.QuantizeLinear(activation, scale, zero), scale)
        matmul, product = projection.matmul, projection.matmul.outputs[0]
        uses = tuple(product.uses())
        weight, shrink = _stretched_weight(op, projection, compute)
        matmul.replace_input_with(0, rounded[activation])
        matmul.replace_input_with(1, weight)
        shrunk = op.Mul(product, shrink)
        for use in uses:
            use.node.replace_input_with(use.idx, shrunk)
    return finish(model)


def _stretched_weight(op: Ops, projection: Projection, compute: ir.DataType) -> tuple[ir.Value, ir.Value]:
    """Store a weight in E4M3 [inputs, outputs] with one scale, and what its columns were divided by: [outputs].

    All three are computed when the model is saved. Returns the dequantised weight and the divisors, at most 1.
    """
    stored, name = projection.stored, projection.name
    shape = tuple(stored.shape.numpy())

    def values() -> NDArray[np.float32]:
        return stored.numpy().astype(np.float32)

    def scale() -> NDArray[Any]:
        return scale_of(np.abs(values()).max(), compute.numpy())

    def divisors() -> NDArray[Any]:
        return column_divisors(values(), compute.numpy())

    def fp8() -> NDArray[Any]:
        return to_fp8(np.divide(values(), divisors(), dtype=np.float32), scale())

    weight = op.lazy_constant(f"{name}.fp8", ir.DataType.FLOAT8E4M3FN, shape, fp8)
    dequantised = op.DequantizeLinear(weight, op.lazy_constant(f"{name}.weight_scale", compute, (), scale))
    return dequantised, op.lazy_constant(f"{name}.column_divisors", compute, shape[1:], divisors)


def column_divisors(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Divide each column's largest value by the tensor's: what stretches all columns to one size, and never 0."""
    columns = np.abs(values).max(axis=0)
    divisors: NDArray[Any] = (columns / max(columns.max(), np.finfo(np.float32).tiny)).astype(dtype)
    never_zero: NDArray[Any] = np.maximum(divisors, np.finfo(dtype).smallest_subnormal)
    return never_zero


def scale_of(largest: float | NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Divide by 448, so that `largest` becomes E4M3's largest value; in the graph's dtype, and never 0."""
    scale: NDArray[Any] = np.asarray(largest / LARGEST).astype(dtype)
    never_zero: NDArray[Any] = np.maximum(scale, np.finfo(dtype).smallest_subnormal)
    return never_zero


def to_fp8(values: NDArray[np.float32], scale: NDArray[Any]) -> NDArray[Any]:
    """Divide by the scale and round to E4M3. Values beyond 448 saturate."""
    scaled: NDArray[Any] = np.clip(values / scale.astype(np.float32), -LARGEST, LARGEST)
    return scaled.astype(ml_dtypes.float8_e4m3fn)
