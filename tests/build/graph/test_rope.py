import dataclasses
from pathlib import Path

import numpy as np

from packrank_build.checkpoint.architecture import architecture_from_config
from packrank_build.graph.rope import inverse_frequencies, rope_tables


def test_llama3_scaling_keeps_fast_rotations_and_slows_the_slowest(tiny_checkpoint: Path) -> None:
    scaled = dataclasses.replace(architecture_from_config(tiny_checkpoint), head_dim=64)
    plain = inverse_frequencies(dataclasses.replace(scaled, rope_scaling=None))
    ratio = plain / inverse_frequencies(scaled)
    np.testing.assert_allclose(plain[[0, 1]], [1.0, 500000 ** (-2 / 64)], rtol=1e-6)
    assert ratio[0] == 1
    np.testing.assert_allclose(ratio[-1], 32, rtol=1e-6)
    assert (np.diff(ratio) >= -1e-5).all()
    assert ((ratio > 1.001) & (ratio < 31.9)).any(), "no frequency lies in the interpolated band"


def test_tables_rotate_by_position(tiny_checkpoint: Path) -> None:
    architecture = architecture_from_config(tiny_checkpoint)
    cosine, sine = rope_tables(architecture, 5)
    assert cosine.shape == sine.shape == (5, architecture.head_dim // 2)
    np.testing.assert_array_equal(cosine[0], 1)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, rtol=1e-6)
    np.testing.assert_allclose(sine[3, 0], np.sin(3), rtol=1e-6)
