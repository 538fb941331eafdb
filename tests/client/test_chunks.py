from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from packrank_client._chunks import halve_chunk, plan_chunks
from packrank_client._triton.limits import Limits

TOKENS = st.lists(st.integers(1, 300), min_size=1, max_size=80)
LIMITS = st.builds(Limits, st.integers(1, 40), st.integers(1, 1000))


@given(TOKENS, LIMITS)
def test_every_passage_is_in_exactly_one_chunk(tokens: list[int], limits: Limits) -> None:
    chunks = plan_chunks(tokens, limits)
    assert sorted(index for chunk in chunks for index in chunk) == list(range(len(tokens)))


@given(TOKENS, LIMITS)
def test_chunks_are_within_the_limits(tokens: list[int], limits: Limits) -> None:
    for chunk in plan_chunks(tokens, limits):
        assert 1 <= len(chunk) <= limits.max_passages
        assert len(chunk) == 1 or sum(tokens[index] for index in chunk) <= limits.max_request_tokens


@given(TOKENS, LIMITS)
def test_lengths_do_not_overlap_between_chunks(tokens: list[int], limits: Limits) -> None:
    lengths = [[tokens[index] for index in chunk] for chunk in plan_chunks(tokens, limits)]
    assert all(min(longer) >= max(shorter) for longer, shorter in pairwise(lengths))


@given(TOKENS, LIMITS)
def test_no_two_neighbours_would_fit_into_one_chunk(tokens: list[int], limits: Limits) -> None:
    """Even chunks must not cost more of them than a greedy packer needs."""
    greedy, room, count = 0, 0, 0
    for length in sorted(tokens, reverse=True):
        if greedy == 0 or length > room or count == limits.max_passages:
            greedy, room, count = greedy + 1, limits.max_request_tokens, 0
        room, count = room - length, count + 1
    assert len(plan_chunks(tokens, limits)) == greedy


def test_chunks_are_of_even_size() -> None:
    sizes = [len(chunk) for chunk in plan_chunks([5] * 520, Limits(512, 16384))]
    assert sizes == [260, 260]


def test_one_request_where_one_is_enough() -> None:
    assert plan_chunks([3, 9, 9], Limits(3, 21)) == [(1, 2, 0)]


def test_a_pair_over_the_limit_goes_alone() -> None:
    assert plan_chunks([30, 4, 40, 5], Limits(10, 20)) == [(2,), (0,), (3, 1)]


@given(st.lists(st.integers(1, 300), min_size=2, max_size=80))
def test_halves_are_not_empty_and_keep_the_order(tokens: list[int]) -> None:
    chunk = tuple(range(len(tokens)))
    first, second = halve_chunk(chunk, tokens)
    assert first
    assert second
    assert first + second == chunk


@given(st.lists(st.integers(1, 300), min_size=2, max_size=80))
def test_halves_differ_by_at_most_the_longest_pair(tokens: list[int]) -> None:
    first, second = halve_chunk(tuple(range(len(tokens))), tokens)
    difference = sum(tokens[index] for index in first) - sum(tokens[index] for index in second)
    assert abs(difference) <= max(tokens)
