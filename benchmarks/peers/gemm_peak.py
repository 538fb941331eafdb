"""Measure what one matrix product reaches on this machine, through the operators of the packed graph."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime

ROWS = 1024  # tokens of one run of the CPU ranker
REPEATS = 20
LARGEST_WEIGHT = 63  # as in the int8 graph (quantize/int8.py)


def gemm_peak_gops(precision: str, inputs: int, outputs: int) -> float:
    """Return the best of several products [1024, inputs] × [inputs, outputs], in 10^9 operations per second.

    fp32 times MatMul. int8 times com.microsoft.MatMulIntegerToFloat: UINT8 rows, one scale per output channel.
    """
    session = onnxruntime.InferenceSession(_one_product(precision, inputs, outputs), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    rows: Any = random.standard_normal((ROWS, inputs), np.float32)
    if precision == "int8":
        rows = random.integers(0, 256, (ROWS, inputs), np.uint8)
    session.run(None, {"rows": rows})
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        session.run(None, {"rows": rows})
        seconds.append(time.perf_counter() - start)
    return 2 * ROWS * inputs * outputs / min(seconds) / 1e9


def _one_product(precision: str, inputs: int, outputs: int) -> bytes:
    random = np.random.default_rng(1)
    tape = ir.tape.Tape()
    is_int8 = precision == "int8"
    row_type = ir.TensorType(ir.DataType.UINT8 if is_int8 else ir.DataType.FLOAT)
    rows = ir.Value(name="rows", type=row_type, shape=ir.Shape([ROWS, inputs]))

    def constant(name: str, array: Any) -> ir.Value:
        return tape.initializer(ir.tensor(array, name=name))

    if is_int8:
        weight = random.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT + 1, (inputs, outputs), np.int8)
        operands = [
            rows,
            constant("weight", weight),
            constant("row_scale", np.array(1 / 127, np.float32)),
            constant("scales", np.full(outputs, 0.01, np.float32)),
            constant("row_zero", np.array(128, np.uint8)),
        ]
        product = tape.op("MatMulIntegerToFloat", operands, domain="com.microsoft")
    else:
        product = tape.op("MatMul", [rows, constant("weight", random.standard_normal((inputs, outputs), np.float32))])
    product.name, product.type = "product", ir.TensorType(ir.DataType.FLOAT)
    product.shape = ir.Shape([ROWS, outputs])
    graph = ir.Graph(
        [rows],
        [product],
        nodes=tape.nodes,
        initializers=tape.initializers,
        opset_imports={"": 24, "com.microsoft": 1},
        name="one_product",
    )
    return ir.serde.serialize_model(ir.Model(graph, ir_version=11)).SerializeToString()
