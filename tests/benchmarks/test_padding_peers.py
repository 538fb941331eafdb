from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.padding_peers import TORCH_PYTHON, Pairs, Peers, by_length, by_request, compare, huggingface_scores
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.reference import reference_logits

REQUESTS: list[Pairs] = [[[1] * 100, [2] * 10], [[3] * 30] * 3]


def sums(pairs: Pairs) -> NDArray[np.float32]:
    return np.array([sum(pair) for pair in pairs], np.float32)


def test_batches_are_requests_or_runs_of_similar_length() -> None:
    assert by_request(REQUESTS, 8192) == [[0, 1], [2, 3, 4]]
    assert by_request(REQUESTS, 128) == [[0], [1], [2], [3], [4]]
    pairs = [pair for request in REQUESTS for pair in request]
    assert by_length(pairs, 8192) == [[1, 2, 3, 4, 0]]


def test_every_peer_has_a_row_that_says_how_much_it_padded_and_how_it_differs() -> None:
    peers = Peers(
        packed=lambda requests: sums([pair for request in requests for pair in request]),
        padded=lambda pairs: sums(pairs) + (len(pairs[0]) == 10),
        max_padded_tokens=8192,
    )
    packed, requests, by_lengths = compare(REQUESTS, peers, None)
    assert [row["peer"] for row in (packed, requests, by_lengths)] == [
        "packed",
        "padded, a batch a request",
        "padded, sorted by length",
    ]
    assert packed["padding %"] == 0
    assert requests["padding %"] == pytest.approx(100 * (1 - 200 / 290))
    assert by_lengths["padding %"] == pytest.approx(100 * (1 - 200 / 500))
    assert (packed["max Δ logit"], requests["max Δ logit"], by_lengths["max Δ logit"]) == (0, 0, 1)
    assert packed["packed is faster by"] == 1


@pytest.mark.skipif(not TORCH_PYTHON.is_file(), reason="torch has an environment of its own: make check-goldens")
def test_hugging_face_scores_as_the_reference(tiny_checkpoint: Path) -> None:
    batches: list[Pairs] = [[[128000, 5, 6, 7], [128000, 9]], [[128000, *range(100, 150)]]]
    seconds, logits = huggingface_scores(tiny_checkpoint, batches)
    assert seconds > 0
    expected = reference_logits(Checkpoint(tiny_checkpoint), [pair for batch in batches for pair in batch])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
