from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.reference import reference_logits
from packrank_build.tensorrt.log import BuildMessages
from packrank_build.tensorrt.padded_engine import LONGEST, padded_batches, padded_engine, padded_inputs, padded_profiles
from packrank_build.tensorrt.targets import TARGETS
from tests.checks.engine import tensorrt_rtx
from tests.support.checkpoints import CHECKPOINTS
from tests.support.random_checkpoint import random_architecture, random_weight, write_random_checkpoint


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_padded_graph_scores_as_the_reference(name: str, tmp_path: Path, llama3_tokenizer: Path) -> None:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", **CHECKPOINTS[name])
    checkpoint = Checkpoint(tmp_path)
    path = tmp_path / "padded.onnx"
    ir.save(packed_graph(checkpoint.architecture, checkpoint.weight, "fp32", 64, padded=True), path)
    onnx.checker.check_model(path, full_check=True)
    random = np.random.default_rng(0)
    pairs = [random.integers(1, 128256, length).tolist() for length in (5, 1, 40, 17)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], padded_inputs(pairs))
    np.testing.assert_allclose(logits, reference_logits(checkpoint, pairs), rtol=0, atol=1e-4)


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 8192), min_size=1, max_size=60))
def test_every_batch_fits_a_profile_and_every_pair_is_in_one(lengths: list[int]) -> None:
    padded_tokens = 16384
    batches = padded_batches(lengths, padded_tokens)
    assert [index for batch in batches for index in batch] == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert any(len(batch) <= pairs and longest <= limit for pairs, limit in padded_profiles(padded_tokens))
    assert padded_batches([100] * 128, padded_tokens) == [list(range(128))]


def test_tensorrt_builds_it_with_fused_attention(tmp_path: Path) -> None:
    small = random_architecture("llama-3.2-1b", layers=1, vocab_size=256)
    shapes = small.weight_shapes()
    graph = packed_graph(
        small,
        lambda name: random_weight(name, shapes[name], 0),
        "fp16",
        LONGEST[-1],
        attention="kv_lengths",
        padded=True,
    )
    ir.save(graph, tmp_path / "padded.onnx", external_data="padded.onnx.data")
    target = TARGETS["l4"]
    engine = padded_engine(
        tensorrt_rtx(),
        tmp_path / "padded.onnx",
        target.batch.tokens,
        BuildMessages(),
        sm=target.sm,
        progress=lambda _: None,
    )
    assert len(bytes(engine)) > 0
