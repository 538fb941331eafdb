import math

import numpy as np
import pytest

from packrank_backend.sigmoid import sigmoid


@pytest.mark.parametrize("logit", [-30.0, -4.5, -1e-8, 0.0, 0.2617, 20.625])
def test_it_is_the_logistic_function(logit: float) -> None:
    assert sigmoid(np.array([logit], np.float32))[0] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-6)


def test_extremes_saturate_without_a_warning() -> None:
    scores = sigmoid(np.array([[-1e30, -np.inf, 1e30, np.inf]], np.float32))
    np.testing.assert_array_equal(scores, [[0, 0, 1, 1]])
    assert scores.dtype == np.float32


def test_order_is_kept() -> None:
    assert (np.diff(sigmoid(np.linspace(-12, 12, 100, dtype=np.float32))) > 0).all()
