import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from packrank_backend.ranker.microbatches import length_sorted_runs


@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=200),
    max_tokens=st.integers(1, 5000),
    max_weights=st.integers(1, 10_000_000),
)
def test_every_pair_runs_once_within_the_bounds(lengths: list[int], max_tokens: int, max_weights: int) -> None:
    seq_lens = np.array(lengths, np.int32)
    runs = length_sorted_runs(seq_lens, max_tokens, max_weights)
    assert sorted(np.concatenate(runs).tolist()) == list(range(len(lengths)))
    for run in runs:
        longest = int(seq_lens[run].max())
        assert len(run) == 1 or (len(run) * longest <= max_tokens and len(run) * longest**2 <= max_weights)


def test_similar_lengths_share_a_run() -> None:
    runs = length_sorted_runs(np.array([100, 10, 100, 10, 10], np.int32), 200, 1_000_000)
    assert [run.tolist() for run in runs] == [[1, 3, 4], [0, 2]]
