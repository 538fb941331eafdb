"""ONNX operators, constants, weights and casts: what the forward pass is written with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Precision = Literal["fp32", "fp16", "bf16"]
_DTYPES = {"fp32": ir.DataType.FLOAT, "fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}

# Plain numbers stand for INT64 constants: axes, shapes, counts.
Operand = ir.Value | int | Sequence[int] | None


class Ops:
    """Appends nodes to `graph`: `op.Add(a, b)` writes an Add and returns its output.

    `compute.Mul(a, b)` writes an operator whose inputs and output have `precision`. With `emulate` everything is fp32,
    and each such output is rounded to `precision`.
    """

    def __init__(self, graph: ir.Graph, precision: Precision = "fp32", *, emulate: bool = False) -> None:
        self.graph = graph
        self.compute = _ComputeOps(self)
        self._dtype = _DTYPES[precision]
        self._casts = precision != "fp32" and not emulate
        self._rounds = precision != "fp32" and emulate
        self._initializers = ir.tape.Tape(graph)
        self._nodes = self._initializers  # a branch has its own nodes, but shares the graph's initializers

    @property
    def is_fp32(self) -> bool:
        """Whether everything is computed in fp32, and nothing rounded."""
        return not (self._casts or self._rounds)

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        if not op_type[:1].isupper():  # operators are; anything else is a typo
            raise AttributeError(op_type)
        return partial(self.node, op_type)

    def node(
        self, op_type: str, *operands: Operand, domain: str = "", name: str | None = None, **attributes: Any
    ) -> ir.Value:
        """Append a node; returns its one output, called `name` if given."""
        self.graph.opset_imports.setdefault(domain, 1)
        output = self._nodes.op(op_type, [self._value(operand) for operand in operands], attributes, domain=domain)
        if name is not None:
            output.name = name
        return output

    def input(self, name: str, *dimensions: str) -> ir.Value:
        """Add an INT32 input of the graph."""
        shape = ir.Shape([ir.SymbolicDim(dimension) for dimension in dimensions])
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.INT32), shape=shape)
        self.graph.inputs.append(value)
        return value

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """Store an initializer once; all its users share it."""
        known = self.graph.initializers.get(name)
        return self._initializers.initializer(ir.Tensor(array, name=name)) if known is None else known

    def lazy_constant(
        self, name: str, dtype: ir.DataType, shape: Sequence[int], read: Callable[[], NDArray[Any]]
    ) -> ir.Value:
        """Declare a large initializer. `read` is called when the model is saved, so only one is in memory at a time."""

        def tensor() -> ir.TensorProtocol:
            return ir.Tensor(read(), name=name)

        lazy = ir.LazyTensor(tensor, dtype=dtype, shape=ir.Shape(shape), name=name)
        return self._initializers.initializer(lazy)

    def weight(self, name: str, shape: Sequence[int], read: Callable[[], NDArray[Any]]) -> ir.Value:
        """Declare a lazy constant in the compute precision."""

        def converted() -> NDArray[Any]:
            return np.ascontiguousarray(read()).astype(self._dtype.numpy())

        stored = self.lazy_constant(name, self._dtype, shape, converted)
        return self.Cast(stored, to=ir.DataType.FLOAT) if self._rounds else stored

    def arange(self, count: ir.Value) -> ir.Value:
        """Count from 0: INT64 [count]; `count` is INT64 [1]."""
        return self.Range(0, self.Squeeze(count), 1)

    def to_fp32(self, value: ir.Value) -> ir.Value:
        """Leave the compute precision."""
        return self.Cast(value, to=ir.DataType.FLOAT) if self._casts else value

    def to_compute_dtype(self, value: ir.Value) -> ir.Value:
        """Enter the compute precision from fp32, or round to it."""
        return self.Cast(value, to=self._dtype) if self._casts else self.rounded(value)

    def rounded(self, value: ir.Value) -> ir.Value:
        """Round an fp32 result to the emulated precision; without emulation, the value itself."""
        if not self._rounds:
            return value
        return self.Cast(self.Cast(value, to=self._dtype), to=ir.DataType.FLOAT)

    def branch(self, name: str, write: Callable[[], ir.Value]) -> ir.Graph:
        """Write a graph for `If`, of the nodes that `write` appends. They may read values of the graph around it."""
        around, self._nodes = self._nodes, ir.tape.Tape()
        output = write()
        inner, self._nodes = self._nodes, around
        for number, node in enumerate(inner.nodes):
            node.name = node.outputs[0].name = f"{name}.{number}"  # no name may repeat one outside
        output.type = ir.TensorType(self._dtype)
        return ir.Graph([], [output], nodes=inner.nodes, name=name)

    def _value(self, operand: Operand) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        array = np.asarray(operand, np.int64)
        kind = "scalar" if array.ndim == 0 else "list"
        return self.constant("_".join(["int64", kind, *map(str, array.ravel())]), array)


class _ComputeOps:
    """Operators in the compute precision."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]:
        def write(*operands: Operand, **attributes: Any) -> ir.Value:
            return self._ops.rounded(self._ops.node(op_type, *operands, **attributes))

        return write
