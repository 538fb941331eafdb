"""The projections of a written graph: what a quantisation pass rewrites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Projection:
    """One MatMul of a layer by a stored weight: q, k, v, o, gate, up or down."""

    matmul: ir.Node
    activation: ir.Value
    weight: ir.Value
    stored: ir.TensorProtocol  # [inputs, outputs]

    @property
    def name(self) -> str:
        """The weight's Hugging Face name."""
        return str(self.weight.name)


def projections(model: ir.Model) -> Iterator[Projection]:
    """Yield every projection of every layer, in the graph's order. The score head is not one of them."""
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
            yield Projection(node, activation, weight, weight.const_value)


def finish(model: ir.Model) -> ir.Model:
    """Sort the nodes that a pass appended into place, and drop what it left unused."""
    model.graph.sort()
    for node in [node for node in model.graph if node.op_type == "Cast" and not node.outputs[0].uses()]:
        model.graph.remove(node, safe=True)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
    return model
