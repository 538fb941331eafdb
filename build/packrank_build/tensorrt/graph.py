"""The packed graph in TensorRT's form: its attention operator, fp32 accumulators, or fp8 projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.attention import AttentionForm
from packrank_build.graph.ops import Ops, Precision
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.quantize.fp8 import fp8_graph
from packrank_build.quantize.projections import finish, projections
from packrank_build.tensorrt.targets import EnginePrecision


def tensorrt_graph(
    architecture: Architecture,
    weight: Callable[[str], NDArray[Any]],
    precision: EnginePrecision,
    max_pair_tokens: int,
    *,
    activation_sizes: Mapping[str, float] | None = None,
    attention: AttentionForm = "kv_lengths",
    padded: bool = False,
) -> ir.Model:
    """Write the graph that an engine is built from; inputs and output are packed_graph's.

    fp8 needs `activation_sizes`: weight name -> the largest |activation| that meets it (quantize/fp8.py).
    """
    dtype: Precision = "fp16" if precision == "fp8" else precision
    graph = packed_graph(architecture, weight, dtype, max_pair_tokens, attention=attention, padded=padded)
    if precision == "fp8":
        return fp8_graph(graph, activation_sizes or {}, ir.DataType.FLOAT16)
    return with_fp32_accumulators(graph)


def with_fp32_accumulators(model: ir.Model) -> ir.Model:
    """Demand fp32 sums of every projection, in place: cast both operands to fp32, and the product back.

    TensorRT may add fp16 products in fp16 (seen: `accumulation_type=0` in TensorRT-RTX's plan). It fuses these casts
    into a kernel that reads fp16 and adds in fp32, as NVIDIA's Torch-TensorRT relies on for `use_fp32_acc`.
    """
    op = Ops(model.graph)
    for projection in projections(model):
        matmul, product = projection.matmul, projection.matmul.outputs[0]
        uses = tuple(product.uses())
        matmul.replace_input_with(0, op.Cast(projection.activation, to=ir.DataType.FLOAT))
        matmul.replace_input_with(1, op.Cast(projection.weight, to=ir.DataType.FLOAT))
        back = op.Cast(product, to=projection.stored.dtype)
        for use in uses:
            use.node.replace_input_with(use.idx, back)
    return finish(model)
