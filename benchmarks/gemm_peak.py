"""What one matrix product reaches on this machine, through the operators that the packed graph uses."""

from __future__ import annotations

import time

import numpy as np
import onnx_ir as ir
import onnxruntime

ROWS = 1024  # as many tokens as one run of the CPU ranker
REPEATS = 20


def gemm_peak_gops(precision: str, inputs: int, outputs: int) -> float:
    """The best of several products [1024, inputs] x [inputs, outputs], FP32 in and out: 10^9 operations a second."""
    model = _one_product(precision, inputs, outputs)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = {"rows": np.random.default_rng(0).standard_normal((ROWS, inputs), np.float32)}
    session.run(None, rows)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        session.run(None, rows)
        seconds.append(time.perf_counter() - start)
    return 2 * ROWS * inputs * outputs / min(seconds) / 1e9


def _one_product(precision: str, inputs: int, outputs: int) -> bytes:
    random = np.random.default_rng(1)
    tape = ir.tape.Tape()
    rows = ir.Value(name="rows", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([ROWS, inputs]))
    if precision == "int8":
        weight = tape.initializer(ir.tensor(random.integers(-63, 64, (inputs, outputs), np.int8), name="weight"))
        scale = tape.initializer(ir.tensor(np.full(outputs, 0.01, np.float32), name="scale"))
        product = tape.op("DynamicQuantizeMatMul", [rows, weight, scale], domain="com.microsoft")
    else:
        weight = tape.initializer(ir.tensor(random.standard_normal((inputs, outputs), np.float32), name="weight"))
        product = tape.op("MatMul", [rows, weight])
    product.name = "product"
    product.type = ir.TensorType(ir.DataType.FLOAT)
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
