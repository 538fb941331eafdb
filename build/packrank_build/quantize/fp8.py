"""FP8 (E4M3) projections: the packed graph with quantised operands, and the calibration of their scales.

Every projection of every layer reads activations and weights in 8 bits: activations with one scale a tensor, weights
with one for each output, so that small columns of a weight are not rounded in the subnormals that a large one leaves
them. The score head, norms, attention and everything else stay as they are. Written as quantise/dequantise pairs:
TensorRT takes them for FP8 matrix products on SM89 and SM90, ONNX Runtime computes them as they stand, rounding to FP8
and multiplying in the graph's precision. E4M3 is that of Micikevicius et al. 2022 (arXiv:2209.05433), in ONNX
FLOAT8E4M3FN: largest value 448, no infinity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from packrank_backend.packing import PackedPairs

LARGEST = 448.0
_SIZE = ".activation_size"


@dataclass(frozen=True)
class _Projection:
    matmul: ir.Node
    activation: ir.Value
    weight: ir.Value
    stored: ir.TensorProtocol

    @property
    def name(self) -> str:
        return str(self.weight.name)


def _projections(model: ir.Model) -> Iterator[_Projection]:
    for node in list(model.graph):
        if node.op_type != "MatMul":
            continue
        activation, weight = node.inputs
        producer = weight.producer() if weight is not None else None
        if producer is not None and producer.op_type == "Cast":  # emulated precisions store less than they compute
            weight = producer.inputs[0]
        if activation is None or weight is None or weight.const_value is None:
            continue
        if str(weight.name).startswith("model.layers."):
            yield _Projection(node, activation, weight, weight.const_value)


def with_activation_sizes(model: ir.Model) -> ir.Model:
    """The same model with one more output a projection: FP32 [], the largest |activation| that it reads."""
    tape = ir.tape.Tape(model.graph)
    for projection in _projections(model):
        largest = tape.op("ReduceMax", [tape.op("Abs", [projection.activation])], {"keepdims": 0})
        largest.name = projection.name + _SIZE
        largest.type, largest.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
        model.graph.outputs.append(largest)
    return model


def activation_sizes(graph: Path, requests: Sequence[PackedPairs]) -> dict[str, float]:
    """Weight name -> the largest |activation| that meets it in any request; `graph` is with_activation_sizes'."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.name.endswith(_SIZE)]
    sizes = dict.fromkeys(names, 0.0)
    for request in requests:
        inputs = {"input_ids": request.input_ids, "seq_lens": request.seq_lens}
        inputs |= {"longest": np.zeros(1, np.int32), "max_len": request.longest}
        for name, size in zip(names, session.run(names, inputs), strict=True):
            sizes[name] = max(sizes[name], float(size))
    return {name.removesuffix(_SIZE): size for name, size in sizes.items()}


def fp8_graph(model: ir.Model, sizes: Mapping[str, float], compute: ir.DataType) -> ir.Model:
    """Quantise both operands of every projection, in place. `compute` is the dtype that the graph multiplies in.

    `sizes` are what activation_sizes measured. A larger activation in serving saturates at the largest that was seen.
    """
    tape = ir.tape.Tape(model.graph)
    # the zero point says nothing but that the result is E4M3
    zero = tape.initializer(ir.Tensor(np.zeros((), ml_dtypes.float8_e4m3fn), name="fp8_zero"))
    rounded: dict[ir.Value, ir.Value] = {}  # query, key and value read the same activation, gate and up too
    for projection in _projections(model):
        name, activation = projection.name, projection.activation
        if activation not in rounded:
            size = scale_of(sizes[name], compute.numpy())
            scale = tape.initializer(ir.Tensor(size, name=f"{name}.activation_scale"))
            quantised = tape.op("QuantizeLinear", [activation, scale, zero])
            rounded[activation] = tape.op("DequantizeLinear", [quantised, scale])
        projection.matmul.replace_input_with(0, rounded[activation])
        weight = [tape.initializer(tensor) for tensor in _quantised(projection, compute)]
        projection.matmul.replace_input_with(1, tape.op("DequantizeLinear", weight, {"axis": 1}))
    model.graph.sort()
    _drop_unused(model)
    return model


def _quantised(projection: _Projection, compute: ir.DataType) -> tuple[ir.LazyTensor, ir.LazyTensor]:
    """A weight in E4M3 [inputs, outputs] and its scales [outputs], read when the model is written."""
    stored, name = projection.stored, projection.name
    shape = stored.shape.numpy()

    def values() -> NDArray[np.float32]:
        return stored.numpy().astype(np.float32)

    def scales() -> NDArray[Any]:
        return scale_of(np.abs(values()).max(axis=0), compute.numpy())

    def read() -> ir.TensorProtocol:
        return ir.Tensor(to_fp8(values(), scales()), name=f"{name}.fp8")

    def read_scale() -> ir.TensorProtocol:
        return ir.Tensor(scales(), name=f"{name}.weight_scale")

    return (
        ir.LazyTensor(read, dtype=ir.DataType.FLOAT8E4M3FN, shape=ir.Shape(shape), name=f"{name}.fp8"),
        ir.LazyTensor(read_scale, dtype=compute, shape=ir.Shape(shape[1:]), name=f"{name}.weight_scale"),
    )


def scale_of(largest: float | NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """What brings `largest` to 448, in the dtype of the graph; never 0, also where all values are."""
    scale: NDArray[Any] = np.asarray(largest / LARGEST).astype(dtype)
    never_zero: NDArray[Any] = np.maximum(scale, np.finfo(dtype).smallest_subnormal)
    return never_zero


def to_fp8(values: NDArray[np.float32], scale: NDArray[Any]) -> NDArray[Any]:
    """Divide by the scale (one, or one for each column) and round to E4M3; what is beyond 448 becomes 448."""
    scaled: NDArray[Any] = np.clip(values / scale.astype(np.float32), -LARGEST, LARGEST)
    return scaled.astype(ml_dtypes.float8_e4m3fn)


def _drop_unused(model: ir.Model) -> None:
    for node in [node for node in model.graph if node.op_type == "Cast" and not node.outputs[0].uses()]:
        model.graph.remove(node, safe=True)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
