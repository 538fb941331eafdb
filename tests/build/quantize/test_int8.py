from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.quantize.hadamard import RotatedWeights
from packrank_build.quantize.int8 import LARGEST, calibration_pairs, int8_graph, int8_weights
from tests.support.random_checkpoint import write_random_checkpoint

PAIRS = [np.random.default_rng(0).integers(0, 500, length, np.int32) for length in (5, 40, 90)]


@pytest.fixture
def checkpoint(llama3_tokenizer: Path, tmp_path: Path) -> Checkpoint:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", vocab_size=500)
    return Checkpoint(tmp_path)


def test_every_projection_is_rounded_to_7_bits_near_its_rotated_weight(checkpoint: Checkpoint) -> None:
    found = int8_weights(checkpoint, PAIRS)
    rotated = RotatedWeights(checkpoint.architecture, checkpoint.weight).weight
    assert found.keys() == {name for name in checkpoint.architecture.weight_shapes() if name.endswith("_proj.weight")}
    for name, weight in found.items():
        # two products of a UINT8 and a weight are added in 16 bits where a processor has no VNNI
        assert 2 * 255 * int(np.abs(weight.integers.astype(int)).max()) < 2**15
        steps = np.abs(weight.fp32() - rotated(name)) / weight.scales[:, None]
        assert np.abs(weight.integers).max() == LARGEST
        assert np.median(steps) < 1


def test_every_projection_multiplies_integers_and_no_fp32_weight_is_left(checkpoint: Checkpoint) -> None:
    architecture = checkpoint.architecture
    rotated = RotatedWeights(architecture, checkpoint.weight)
    graph = int8_graph(packed_graph(architecture, rotated.weight, "fp32", 96), int8_weights(checkpoint, PAIRS))
    names = {name for name in architecture.weight_shapes() if name.endswith("_proj.weight")}
    types = [node.op_type for node in graph.graph]
    assert types.count("MatMulIntegerToFloat") == len(names)
    assert types.count("QuantizeLinear") == 4 * architecture.layers, "q, k and v read the same rows, gate and up too"
    assert {f"{name}.int8" for name in names} <= graph.graph.initializers.keys()
    assert not names & graph.graph.initializers.keys()


def test_calibration_has_every_language_and_keeps_to_the_limit(llama3_tokenizer: Path) -> None:
    pairs = calibration_pairs(Tokenizer.from_file(str(llama3_tokenizer)), 64)
    assert len(pairs) > 2 * 26
    assert max(map(len, pairs)) == 64
    assert all(pair.dtype == np.int32 for pair in pairs)
