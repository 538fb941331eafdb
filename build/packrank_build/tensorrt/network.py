"""The packed ONNX graph -> a TensorRT network, checked for what TensorRT would silently get wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.tensorrt.log import BuildMessages, EngineError

# TensorRT's name of a data type -> Triton's
_TRITON_TYPES = {"INT32": DataType.TYPE_INT32, "FLOAT": DataType.TYPE_FP32}


def network_from_onnx(trt: Any, builder: Any, onnx: Path, messages: BuildMessages) -> tuple[Any, Any]:
    """Parse a graph into a strongly typed network: TensorRT keeps the precision of every node.

    `trt` is the module `tensorrt`, or TensorRT-RTX's. Returns network and parser. The parser holds the weights that
    the network refers to, so it must live as long. Raises EngineError with the parser's words.
    """
    logger = builder.logger
    strongly_typed = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    network = builder.create_network(1 << int(strongly_typed))
    if not network.get_flag(strongly_typed):
        raise EngineError("this TensorRT builds no strongly typed networks: use TensorRT 10 or newer.")
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"TensorRT's ONNX parser refuses {onnx.name}: {errors or messages.reason()}")
    return network, parser


def check_attention(network: Any, architecture: Architecture) -> None:
    """Raise EngineError unless every layer of the model is one attention layer that knows where pairs end.

    The parser silently drops the lengths that ONNX Runtime's form has (seen in TensorRT-RTX 1.7). It keeps TensorRT's
    own, and a mask.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    attentions = [layer for layer in layers if layer.type.name == "ATTENTION_INPUT"]
    if len(attentions) != architecture.layers:
        raise EngineError(
            f"the network has {len(attentions)} attention layers, the model {architecture.layers}: TensorRT's parser "
            "took attention apart, so it would not run fused."
        )
    if architecture.causal:
        return
    ways = ((6, "INT32", (-1,)), (3, "BOOL", (-1, 1, 1, -1)))
    for attention in attentions:
        if not any(_knows_pair_ends(attention, *way) for way in ways):
            raise EngineError(
                f"{attention.name} has neither the pairs' lengths nor a mask of [pairs, 1, 1, max_len]: it would "
                "attend beyond the pairs' ends. Write the graph with attention='kv_lengths'."
            )


def _knows_pair_ends(attention: Any, place: int, dtype: str, shape: tuple[int, ...]) -> bool:
    """Whether the layer's input at `place` is there: 6 holds the lengths of keys and values, 3 the mask."""
    tensor = attention.get_input(place) if attention.num_inputs > place else None
    return tensor is not None and tensor.dtype.name == dtype and tuple(tensor.shape) == shape


def check_tensors(network: Any, config: ModelConfig) -> None:
    """Raise EngineError unless the network's inputs and outputs are those of the ranker's config, one for one."""
    inputs = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in config.input}
    for batch_input in config.batch_input:
        inputs |= dict.fromkeys(batch_input.target_name, (batch_input.data_type, (-1,)))
    outputs = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in config.output}
    for kind, declared, count, get in (
        ("inputs", inputs, network.num_inputs, network.get_input),
        ("outputs", outputs, network.num_outputs, network.get_output),
    ):
        tensors = [get(index) for index in range(count)]
        built = {tensor.name: (_TRITON_TYPES.get(tensor.dtype.name), tuple(tensor.shape)) for tensor in tensors}
        if built != declared:
            raise EngineError(f"the network's {kind} are {built}, the ranker's config declares {declared}.")
        shape_tensors = [tensor.name for tensor in tensors if tensor.is_shape_tensor]
        if shape_tensors:
            raise EngineError(
                f"{', '.join(shape_tensors)} became shape tensors, which Triton cannot fill from a batch."
            )


def ranker_config(repository: Path, name: str) -> ModelConfig:
    """Read a named config of the ranker in a model repository."""
    path = repository / "ranker" / "configs" / f"{name}.pbtxt"
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
