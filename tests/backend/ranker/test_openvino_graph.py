"""Numerics on OpenVINO: in bf16 where the processor has it, elsewhere in fp32, which OpenVINO falls back to."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.packing import pack
from packrank_backend.ranker import openvino_graph
from packrank_backend.ranker.cpu_ranker import CpuRanker, published_ranker
from packrank_backend.ranker.openvino_graph import why_not_bf16
from packrank_backend.ranker.processor import has_native_bf16
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.export import export_graph
from packrank_build.graph.reference import reference_logits
from packrank_build.progress import Progress
from tests.support.random_checkpoint import write_random_checkpoint

LIMITS: dict[str, Any] = {"threads": 0, "max_run_tokens": 1024, "max_attention_bytes": 1 << 29}
# around 32 and 64 keys, which the kernels take in blocks, and far beyond
LENGTHS = (1, 2, 31, 32, 33, 63, 64, 65, 83, 139, 213, 298, 513, 900)


@pytest.fixture(scope="module")
def checkpoint(llama3_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Heads of 64 channels, as real rerankers have them: the kernels treat smaller ones otherwise."""
    directory = tmp_path_factory.mktemp("heads-of-64")
    shape = {"hidden_size": 192, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64}
    write_random_checkpoint(directory, llama3_tokenizer, "tiny", **shape)
    return Checkpoint(directory)


@pytest.fixture(scope="module")
def ranker(checkpoint: Checkpoint, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> CpuRanker:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: `make openvino`")
    model = tmp_path_factory.mktemp("bf16") / "model.onnx"
    export_graph(checkpoint, "bf16", 1024, model, Progress(), attention="row_mask")
    record = dataclasses.replace(
        read_build_record(repository / "ranker" / "1"),
        precision="bf16",
        architecture=dataclasses.asdict(checkpoint.architecture),
    )
    return CpuRanker(model, record, **LIMITS)


def pairs_of(lengths: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 128000, length, np.int32) for length in lengths]


def test_logits_are_the_references_to_bf16s_precision(ranker: CpuRanker, checkpoint: Checkpoint) -> None:
    pairs = pairs_of(LENGTHS)
    (logits,) = ranker.logits([pack(pairs)])
    expected = reference_logits(checkpoint, pairs)
    assert np.abs(logits - expected).max() < 0.04 * max(1, np.abs(expected).max())


@pytest.mark.skipif(not has_native_bf16(), reason="the promise is for bf16, which this processor lacks")
def test_a_pair_scores_the_same_bit_for_bit_in_any_batch(ranker: CpuRanker) -> None:
    pairs = pairs_of(LENGTHS)
    alone = np.concatenate([ranker.logits([pack([pair])])[0] for pair in pairs])
    (together,) = ranker.logits([pack(pairs)])
    np.testing.assert_array_equal(together, alone)
    (turned,) = ranker.logits([pack(pairs[::-1])])
    np.testing.assert_array_equal(turned[::-1], alone)


def test_a_bf16_build_is_refused_with_the_remedy_where_it_cannot_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "1"
    shutil.copytree(repository / "ranker" / "1", version)
    dataclasses.replace(read_build_record(version), precision="bf16").write(version)
    monkeypatch.setattr(openvino_graph, "has_native_bf16", lambda: False)
    with pytest.raises(StaleBuild, match=r"no bf16 instructions \(AVX512-BF16 or AMX\)\. Or run .*PRECISION=fp32"):
        published_ranker(version, **LIMITS)
    monkeypatch.setattr(openvino_graph, "has_native_bf16", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(StaleBuild, match=r"openvino is not installed; `make openvino` installs it\. Or run"):
        published_ranker(version, **LIMITS)
    assert why_not_bf16() is not None
