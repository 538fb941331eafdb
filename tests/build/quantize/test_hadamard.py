from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.reference import reference_logits
from packrank_build.quantize.hadamard import RotatedWeights, block_hadamard
from tests.support.random_checkpoint import write_random_checkpoint


class RotatedCheckpoint(Checkpoint):
    """The checkpoint with rotated weights; down_proj undoes its block rotation itself."""

    def weight(self, name: str) -> NDArray[Any]:
        rotated = RotatedWeights(self.architecture, super().weight).weight(name)
        if "down_proj" not in name:
            return rotated
        block = block_hadamard(self.architecture.intermediate_size)
        return (rotated.reshape(len(rotated), -1, len(block)) @ block.T).reshape(rotated.shape)


@pytest.mark.parametrize("overrides", [{}, {"hidden_size": 96, "head_dim": 24, "intermediate_size": 100}])
def test_the_rotated_network_is_the_same_network(
    overrides: dict[str, int], llama3_tokenizer: Path, tmp_path: Path
) -> None:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", vocab_size=500, **overrides)
    pairs = [np.random.default_rng(0).integers(0, 500, length, np.int32) for length in (1, 17, 60)]
    expected = reference_logits(Checkpoint(tmp_path), pairs)
    np.testing.assert_allclose(reference_logits(RotatedCheckpoint(tmp_path), pairs), expected, rtol=0, atol=1e-4)


def test_a_channel_that_stands_out_is_spread(tiny_checkpoint: Path) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)

    def with_outlier(name: str) -> NDArray[np.float32]:
        weight = checkpoint.weight_fp32(name)
        if name == "model.embed_tokens.weight":
            weight[:, 5] *= 100
        return weight

    rows = with_outlier("model.embed_tokens.weight")[:1000]
    turned = RotatedWeights(checkpoint.architecture, with_outlier).weight("model.embed_tokens.weight")[:1000]
    np.testing.assert_allclose(np.square(turned).sum(1), np.square(rows).sum(1), rtol=1e-4)
    assert np.median(np.abs(turned)) > 5 * np.median(np.abs(rows))


@pytest.mark.parametrize(("width", "block"), [(8192, 64), (1536, 64), (160, 32), (100, 4), (7, 1)])
def test_hadamard_blocks_are_orthogonal(width: int, block: int) -> None:
    hadamard = block_hadamard(width)
    assert hadamard.shape == (block, block)
    np.testing.assert_allclose(hadamard @ hadamard.T, np.eye(block), atol=1e-6)
