"""Measure what one matrix product reaches on this machine, through the operators of the packed graph."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROWS = 1024  # tokens of one run of the CPU ranker
REPEATS = 20
# What multiplies in the graph of each precision (packed_graph.py), and the type of its rows.
OPERATORS = {
    "fp32": ("float", "MatMul(rows, weight)"),
    "int8": ("uint8", "com.microsoft.MatMulIntegerToFloat(rows, weight, row_scale, scales, row_zero)"),
}


def gemm_peak_gops(precision: str, inputs: int, outputs: int) -> float:
    """Return the best of several products [1024, inputs] × [inputs, outputs], in 10^9 operations per second.

    int8 is as in the int8 graph: UINT8 rows with one scale, weights of 7 bits with one scale per output.
    """
    random = np.random.default_rng(0)
    rows: Any = random.standard_normal((ROWS, inputs), np.float32)
    constants: dict[str, Any] = {"weight": random.standard_normal((inputs, outputs), np.float32)}
    if precision == "int8":
        rows = random.integers(0, 256, (ROWS, inputs), np.uint8)
        constants = {
            "weight": random.integers(-63, 64, (inputs, outputs), np.int8),
            "scales": np.full(outputs, 0.01, np.float32),
            "row_scale": np.array(1 / 127, np.float32),
            "row_zero": np.array(128, np.uint8),
        }
    dtype, operator = OPERATORS[precision]
    model = onnx.parser.parse_model(
        f'<ir_version: 11, opset_import: ["": 24, "com.microsoft": 1]> one_product '
        f"({dtype}[{ROWS}, {inputs}] rows) => (float[{ROWS}, {outputs}] product) {{ product = {operator} }}"
    )
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"rows": rows})
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        session.run(None, {"rows": rows})
        seconds.append(time.perf_counter() - start)
    return 2 * ROWS * inputs * outputs / min(seconds) / 1e9
