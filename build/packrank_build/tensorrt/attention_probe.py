"""Which forms of attention TensorRT has fused kernels for on this GPU: small networks, built to find out.

- kv_lengths: rows padded to the longest pair, with the pairs' lengths. This is what engines use.
- packed: pairs end to end, with cumulative lengths. It would need no padding at all. TensorRT-RTX 1.7 refuses it for
  every GPU that it knows, so engines do not use it; `make engine` reports where TensorRT takes it.
"""

from __future__ import annotations

from typing import Any, Literal

import onnx
from onnx import TensorProto, helper

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.graph.attention import TENSORRT_DOMAIN, AttentionForm
from packrank_build.tensorrt.build import build_with_profiles
from packrank_build.tensorrt.log import BuildMessages, EngineError, trt_logger

Form = Literal["kv_lengths", "packed"]
_Shapes = dict[str, tuple[tuple[int, ...], ...]]


def attention_form(trt: Any, architecture: Architecture, sm: str | None = None) -> tuple[AttentionForm, str]:
    """Choose the form that engines here are built with; returns it with a sentence on both probed forms."""
    refusals = {form: refusal(trt, form, architecture, sm=sm) for form in ("kv_lengths", "packed")}
    chosen: AttentionForm = "row_mask" if refusals["kv_lengths"] else "kv_lengths"
    found = [f"{form}: {reason or 'has a fused kernel'}" for form, reason in refusals.items()]
    return chosen, f"attention is built with {chosen} ({'; '.join(found)})"


def refusal(trt: Any, form: Form, architecture: Architecture, sm: str | None = None) -> str | None:
    """Build one attention layer of that form in fp16; returns why TensorRT refuses it, None if it does not.

    With `sm`, TensorRT-RTX builds for that GPU.
    """
    model, shapes = _packed(architecture) if form == "packed" else _padded(architecture)
    messages = BuildMessages()
    builder = trt.Builder(trt_logger(trt, messages))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, builder.logger)
    if not parser.parse(model.SerializeToString()):
        return _first_line(messages.reason())
    options = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, bounds in shapes.items():
        profile.set_shape(name, *bounds)
    options.add_optimization_profile(profile)
    try:
        build_with_profiles(trt, builder, network, options, messages, sm=sm, progress=lambda _: None)
    except EngineError:
        return _first_line(messages.reason())
    return None


def _padded(architecture: Architecture) -> tuple[onnx.ModelProto, _Shapes]:
    dim = architecture.head_dim
    heads = {"query": architecture.heads, "key": architecture.kv_heads, "value": architecture.kv_heads}
    dimensions: dict[str, list[str | int]] = {name: ["pairs", count, "max_len", dim] for name, count in heads.items()}
    shapes: _Shapes = {
        name: ((1, count, 1, dim), (8, count, 128, dim), (32, count, 512, dim)) for name, count in heads.items()
    }
    inputs = ["query", "key", "value", "", "", "kv_lengths"]
    return _model(dimensions, {"kv_lengths": "pairs"}, inputs, kv_form="padded_bhnd"), {
        **shapes,
        "kv_lengths": ((1,), (8,), (32,)),
    }


def _packed(architecture: Architecture) -> tuple[onnx.ModelProto, _Shapes]:
    dim = architecture.head_dim
    heads = {"query": architecture.heads, "key": architecture.kv_heads, "value": architecture.kv_heads}
    dimensions: dict[str, list[str | int]] = {name: ["tokens", count, dim] for name, count in heads.items()}
    shapes: _Shapes = {name: ((1, count, dim), (1024, count, dim), (4096, count, dim)) for name, count in heads.items()}
    ends = {"q_lengths": "ends", "kv_lengths": "ends"}  # cumulative, one more than pairs
    inputs = ["query", "key", "value", "", "q_lengths", "kv_lengths"]
    model = _model(dimensions, ends, inputs, query_form="packed_nhd", kv_form="packed_nhd")
    return model, {**shapes, **dict.fromkeys(ends, ((2,), (9,), (33,)))}


def _model(
    tensors: dict[str, list[str | int]], lengths: dict[str, str], inputs: list[str], **forms: str
) -> onnx.ModelProto:
    node = helper.make_node("TRT_Attention", inputs, ["mixed"], domain=TENSORRT_DOMAIN, **forms)
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, dims) for name, dims in tensors.items()]
    declared += [helper.make_tensor_value_info(name, TensorProto.INT32, [dim]) for name, dim in lengths.items()]
    output = helper.make_tensor_value_info("mixed", TensorProto.FLOAT16, tensors["query"])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(TENSORRT_DOMAIN, 1)]
    return helper.make_model(
        helper.make_graph([node], "probe", declared, [output]), opset_imports=opsets, ir_version=11
    )


def _first_line(reason: str) -> str:
    return reason.splitlines()[0][:300]
