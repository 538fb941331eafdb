from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from packrank_backend.packing import PackedPairs, pack, run_inputs
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.attention import BLOCKWISE_FROM_TOKENS, AttentionForm
from packrank_build.graph.export import export_graph, save_graph
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.reference import reference_logits
from packrank_build.make_model import ModelPrecision
from packrank_build.progress import Progress
from packrank_build.quantize.hadamard import RotatedWeights
from packrank_build.quantize.int8 import int8_graph, int8_weights
from tests.support.checkpoints import CHECKPOINTS
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.trt_attention import TRT_Attention

LIMIT = 96


def session(checkpoint: Checkpoint, directory: Path, precision: ModelPrecision, *, emulate: bool = False) -> Any:
    path = directory / f"{precision}.onnx"
    if precision == "int8":
        weights = int8_weights(checkpoint, [np.random.default_rng(1).integers(0, 128256, LIMIT, np.int32)])
        rotated = RotatedWeights(checkpoint.architecture, checkpoint.weight)
        graph = packed_graph(checkpoint.architecture, rotated.weight, "fp32", LIMIT)
        save_graph(int8_graph(graph, weights), path, Progress())
    else:
        export_graph(checkpoint, precision, LIMIT, path, Progress(), emulate=emulate)
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(graph: Any, packed: PackedPairs, max_len: int | None = None) -> NDArray[np.float32]:
    inputs = run_inputs([packed])
    if max_len is not None:
        inputs["max_len"] = np.zeros(max_len, np.int32)
    logits: NDArray[np.float32] = graph.run(["logits"], inputs)[0]
    return logits


@pytest.fixture(scope="module", params=CHECKPOINTS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, llama3_tokenizer: Path) -> Any:
    directory = tmp_path_factory.mktemp(request.param)
    write_random_checkpoint(directory, llama3_tokenizer, "tiny", **CHECKPOINTS[request.param])
    checkpoint = Checkpoint(directory)
    return checkpoint, session(checkpoint, directory, "fp32")


lengths = st.lists(st.integers(1, LIMIT), min_size=1, max_size=7)


@settings(max_examples=25, deadline=None)
@given(lengths=lengths, seed=st.integers(0, 1000))
def test_packed_pairs_of_any_lengths_score_as_alone(built: Any, lengths: list[int], seed: int) -> None:
    checkpoint, graph = built
    random = np.random.default_rng(seed)
    pairs = [random.integers(0, 128256, length).tolist() for length in lengths]
    np.testing.assert_allclose(run(graph, pack(pairs)), reference_logits(checkpoint, pairs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_long_pair_scores_alone_as_among_others(name: str, tmp_path: Path, llama3_tokenizer: Path) -> None:
    """Alone, attention runs block by block, unless the model is causal."""
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", **CHECKPOINTS[name])
    checkpoint, path = Checkpoint(tmp_path), tmp_path / "long.onnx"
    export_graph(checkpoint, "fp32", BLOCKWISE_FROM_TOKENS + 1, path, Progress())
    onnx.checker.check_model(path, full_check=True)
    branches = [node for node in onnx.load(path, load_external_data=False).graph.node if node.op_type == "If"]
    assert len(branches) == (0 if checkpoint.architecture.causal else checkpoint.architecture.layers)
    graph = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(5)
    for length in (BLOCKWISE_FROM_TOKENS - 1, BLOCKWISE_FROM_TOKENS, BLOCKWISE_FROM_TOKENS + 1):
        pairs = [random.integers(0, 128256, size).tolist() for size in (length, 7)]
        alone, among = run(graph, pack(pairs[:1])), run(graph, pack(pairs))
        np.testing.assert_allclose(alone, among[:1], rtol=0, atol=1e-5)
        np.testing.assert_allclose(alone, reference_logits(checkpoint, pairs[:1]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", ["kv_lengths", "row_mask"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_tensorrts_attention_forms_compute_the_same(
    name: str, form: AttentionForm, tmp_path: Path, llama3_tokenizer: Path
) -> None:
    """ONNX Runtime refuses what TensorRT needs, so ONNX's own reference evaluator runs these forms."""
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", **CHECKPOINTS[name])
    checkpoint = Checkpoint(tmp_path)
    path = tmp_path / f"{form}.onnx"
    export_graph(checkpoint, "fp32", LIMIT, path, Progress(), attention=form)
    onnx.checker.check_model(path, full_check=True)
    evaluator = ReferenceEvaluator(str(path), new_ops=[TRT_Attention])
    random = np.random.default_rng(3)
    for pair_lengths in ([1], [1, 1, 1], [96, 1, 40], [17, 5, 5, 60, 2]):
        pairs = [random.integers(0, 128256, length).tolist() for length in pair_lengths]
        scored = run(evaluator, pack(pairs), max_len=max(pair_lengths) + 3)
        np.testing.assert_allclose(scored, reference_logits(checkpoint, pairs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", ["kv_lengths", "row_mask"])
def test_lengths_or_mask_are_what_keeps_pairs_apart(form: AttentionForm, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """If attention beyond a pair's end changed nothing, the comparison above would miss what is missing."""
    checkpoint = Checkpoint(tiny_checkpoint)
    export_graph(checkpoint, "fp32", LIMIT, tmp_path / "bounded.onnx", Progress(), attention=form)
    model = onnx.load(tmp_path / "bounded.onnx")
    for node in model.graph.node:
        if node.op_type in ("Attention", "TRT_Attention"):
            del node.input[3:]
    pairs = [[128000, 5, 6, 7], [128000, 9]]
    bounded = ReferenceEvaluator(str(tmp_path / "bounded.onnx"), new_ops=[TRT_Attention])
    unbounded = ReferenceEvaluator(model, new_ops=[TRT_Attention])
    assert np.abs(run(bounded, pack(pairs)) - run(unbounded, pack(pairs))).max() > 0.01


def test_a_max_len_beyond_the_pairs_changes_nothing(built: Any) -> None:
    _, graph = built
    packed = pack([[128000, 5, 6, 7], [128000, 9]])
    np.testing.assert_allclose(run(graph, packed, max_len=LIMIT), run(graph, packed), rtol=0, atol=1e-5)


def test_inputs_and_outputs_are_the_tensor_contract(built: Any) -> None:
    _, graph = built
    assert [(i.name, i.type, i.shape) for i in graph.get_inputs()] == [
        ("input_ids", "tensor(int32)", ["tokens"]),
        ("seq_lens", "tensor(int32)", ["pairs"]),
        ("max_len_carrier", "tensor(int32)", ["carrier"]),
        ("max_len", "tensor(int32)", ["max_len"]),
    ]
    assert [(o.name, o.type, o.shape) for o in graph.get_outputs()] == [("logits", "tensor(float)", ["pairs"])]


@pytest.mark.parametrize(
    ("precision", "emulate", "tolerance"),
    [("fp16", False, 0.02), ("fp16", True, 0.02), ("bf16", True, 0.2), ("int8", False, 0.3)],
)
def test_lower_precisions_stay_near_the_reference_and_do_round(
    precision: ModelPrecision,
    emulate: bool,
    tolerance: float,
    tiny_checkpoint: Path,
    tmp_path: Path,
) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)
    graph = session(checkpoint, tmp_path, precision, emulate=emulate)
    random = np.random.default_rng(0)
    pairs = [random.integers(0, 128256, length).tolist() for length in (1, 17, 96, 40)]
    difference = np.abs(run(graph, pack(pairs)) - reference_logits(checkpoint, pairs)).max()
    assert 1e-6 < difference < tolerance


def test_an_int8_score_does_not_depend_on_the_rest_of_the_batch(tiny_checkpoint: Path, tmp_path: Path) -> None:
    graph = session(Checkpoint(tiny_checkpoint), tmp_path, "int8")
    random = np.random.default_rng(0)
    pairs = [random.integers(0, 128256, length).tolist() for length in (1, 17, 96, 40)]
    alone = np.concatenate([run(graph, pack([pair])) for pair in pairs])
    np.testing.assert_allclose(run(graph, pack(pairs)), alone, rtol=0, atol=1e-3)
