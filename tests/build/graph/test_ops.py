import numpy as np
import onnx_ir as ir
import pytest

from packrank_build.graph.ops import Ops


def ops(precision: str = "fp32", *, emulate: bool = False) -> Ops:
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 24})
    return Ops(graph, precision, emulate=emulate)  # type: ignore[arg-type]


def test_a_typo_is_no_operator() -> None:
    with pytest.raises(AttributeError, match="to_fp23"):
        ops().to_fp23  # noqa: B018


def test_equal_numbers_share_one_constant() -> None:
    op = ops()
    value = op.input("value", "tokens")
    for axes in ([0], [0], [1], 0):
        op.Unsqueeze(value, axes)
    constants = [(name, known.const_value) for name, known in op.graph.initializers.items()]
    assert [(name, known.numpy().tolist()) for name, known in constants if known is not None] == [
        ("int64_list_0", [0]),
        ("int64_list_1", [1]),
        ("int64_scalar_0", 0),
    ]


@pytest.mark.parametrize(
    ("precision", "emulate", "entering", "computing", "leaving"),
    [
        ("fp32", False, [], [], []),
        ("fp16", False, ["FLOAT16"], [], ["FLOAT"]),
        ("bf16", True, ["BFLOAT16", "FLOAT"], ["BFLOAT16", "FLOAT"], []),
    ],
)
def test_casts_happen_at_the_borders_and_rounding_everywhere(
    precision: str, emulate: bool, entering: list[str], computing: list[str], leaving: list[str]
) -> None:
    op = ops(precision, emulate=emulate)
    value = op.constant("value", np.ones(1, np.float32))

    def casts() -> list[str]:
        nodes = [node for node in op.graph if node.op_type == "Cast"]
        op.graph.remove(nodes)
        return [ir.DataType(node.attributes["to"].as_int()).name for node in nodes]

    op.to_compute_dtype(value)
    assert casts() == entering
    op.compute.Sigmoid(value)
    assert casts() == computing
    op.to_fp32(value)
    assert casts() == leaving


def test_a_weight_is_read_when_the_model_is_saved() -> None:
    reads: list[str] = []

    def read() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        reads.append("read")
        return np.ones((2, 3), np.float32)

    stored = ops("fp16").weight("weight", (2, 3), read)
    assert not reads
    assert stored.const_value is not None
    assert stored.const_value.numpy().dtype == np.float16
    assert reads == ["read"]
