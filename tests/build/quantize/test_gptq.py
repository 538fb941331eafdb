import numpy as np
import pytest
from numpy.typing import NDArray

from packrank_build.quantize.gptq import rounded

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.standard_normal((40, 300)).astype(np.float32)
# activations that go together, as those of a network do
ACTIVATIONS = (RANDOM.standard_normal((2000, 30)) @ RANDOM.standard_normal((30, 300))).astype(np.float32)


def nearest(largest: int) -> NDArray[np.float32]:
    scales = np.abs(WEIGHT).max(axis=1, keepdims=True) / largest
    values: NDArray[np.float32] = np.rint(WEIGHT / scales) * scales
    return values


@pytest.mark.parametrize("largest", [7, 63])
def test_products_change_less_than_by_rounding_to_the_nearest(largest: int) -> None:
    found = rounded(WEIGHT, ACTIVATIONS.T @ ACTIVATIONS, largest)
    exact = ACTIVATIONS @ WEIGHT.T
    error = np.square(ACTIVATIONS @ found.fp32().T - exact).mean()
    assert error < 0.3 * np.square(ACTIVATIONS @ nearest(largest).T - exact).mean()


def test_integers_keep_their_limits_and_scales_are_the_outputs() -> None:
    found = rounded(WEIGHT, ACTIVATIONS.T @ ACTIVATIONS, 63)
    assert found.integers.dtype == np.int8
    assert found.scales.dtype == np.float32
    assert np.abs(found.integers).max() == 63
    np.testing.assert_allclose(found.scales, np.abs(WEIGHT).max(axis=1) / 63)


def test_independent_activations_leave_the_nearest() -> None:
    found = rounded(WEIGHT, np.eye(300, dtype=np.float32), 63)
    np.testing.assert_allclose(found.fp32(), nearest(63), atol=1e-6)


def test_activations_and_weights_of_zero_are_no_error() -> None:
    weight = WEIGHT.copy()
    weight[3] = 0
    found = rounded(weight, np.zeros((300, 300), np.float32), 63)
    assert np.isfinite(found.fp32()).all()
    assert not found.integers[3].any()
