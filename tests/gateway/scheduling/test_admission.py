from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_gateway.errors import GatewayError
from packrank_gateway.scheduling.admission import Admission, Load

LIMIT = Load(pairs=10, tokens=1000, body_bytes=100)


def test_a_request_that_no_longer_fits_is_refused_whole() -> None:
    admission = Admission(LIMIT)
    with admission.place(pairs=8, tokens=10):
        with pytest.raises(GatewayError) as raised, admission.place(pairs=3, tokens=10):
            pytest.fail("it was let in")
        assert raised.value.kind == "overloaded"
        assert admission.pending == Load(8, 10, 0)
        with admission.place(pairs=2, tokens=990):
            assert admission.pending == Load(10, 1000, 0)
    assert admission.pending == Load()


def test_tokens_count_too() -> None:
    admission = Admission(LIMIT)
    with admission.place(pairs=1, tokens=990), pytest.raises(GatewayError), admission.place(pairs=1, tokens=11):
        pytest.fail("it was let in")


def test_one_that_never_fits_is_told_so() -> None:
    with pytest.raises(GatewayError) as raised, Admission(LIMIT).place(pairs=1, tokens=1001):
        pytest.fail("it was let in")
    assert raised.value.kind == "too_many_tokens"


def test_a_failure_inside_frees_the_place() -> None:
    admission = Admission(LIMIT)
    with pytest.raises(ValueError, match="inside"), admission.place(pairs=10, tokens=1000):
        raise ValueError("inside")
    assert admission.pending == Load()


def test_body_bytes() -> None:
    admission = Admission(LIMIT)
    admission.take_body_bytes(100)
    with pytest.raises(GatewayError) as raised:
        admission.take_body_bytes(1)
    assert raised.value.kind == "overloaded"
    admission.free_body_bytes(100)
    assert admission.pending == Load()


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 1200)), max_size=30))
def test_the_limits_hold_whoever_comes(requests: list[tuple[int, int]]) -> None:
    admission = Admission(LIMIT)
    inside = []
    for pairs, tokens in requests:
        place = admission.place(pairs=pairs, tokens=tokens)
        try:
            place.__enter__()
        except GatewayError:
            continue
        inside.append(place)
        assert admission.pending.pairs <= LIMIT.pairs
        assert admission.pending.tokens <= LIMIT.tokens
    for place in inside:
        place.__exit__(None, None, None)
    assert admission.pending == Load()
