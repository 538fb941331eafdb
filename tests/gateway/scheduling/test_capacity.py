from __future__ import annotations

import pytest

from packrank_gateway.errors import GatewayError
from packrank_gateway.scheduling.admission import Admission, Load
from packrank_gateway.scheduling.capacity import WINDOW_S, Capacity


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def serve(capacity: Capacity, clock: Clock, *, tokens_per_s: int, seconds: float, pending: int) -> None:
    """Answer ten requests per second."""
    for _ in range(round(10 * seconds)):
        clock.now_s += 0.1
        capacity.answered(tokens_per_s // 10, pending)


def test_a_light_load_says_nothing_about_what_the_servers_can_do(clock: Clock) -> None:
    capacity = Capacity(clock)
    serve(capacity, clock, tokens_per_s=100, seconds=60, pending=20)
    assert capacity.tokens_per_s is None
    assert capacity.seconds(10**9) == 0


def test_saturated_servers_show_their_speed_and_its_changes(clock: Clock) -> None:
    capacity = Capacity(clock)
    serve(capacity, clock, tokens_per_s=1000, seconds=10, pending=5000)
    assert capacity.tokens_per_s == pytest.approx(1000, rel=0.05)
    assert capacity.seconds(3000) == pytest.approx(3, rel=0.05)
    serve(capacity, clock, tokens_per_s=3000, seconds=WINDOW_S + 0.2, pending=5000)
    assert 0.5 < capacity.seconds(1000) < 1, "one window does not decide"
    serve(capacity, clock, tokens_per_s=3000, seconds=60, pending=5000)
    assert capacity.tokens_per_s == pytest.approx(3000, rel=0.05)
    serve(capacity, clock, tokens_per_s=10, seconds=60, pending=0)
    assert capacity.tokens_per_s == pytest.approx(3000, rel=0.05), "a light load later changes nothing"


def test_bunches_count_with_the_time_they_took(clock: Clock) -> None:
    capacity = Capacity(clock)
    for _ in range(5):
        clock.now_s += 3  # one merged batch
        for _ in range(20):
            capacity.answered(150, 5000)
    assert capacity.tokens_per_s == pytest.approx(1000, rel=0.05)


def test_an_estimate_that_is_too_low_cannot_last(clock: Clock) -> None:
    capacity = Capacity(clock)
    capacity.tokens_per_s = 10.0
    serve(capacity, clock, tokens_per_s=1000, seconds=40, pending=8)  # so low an estimate admits no more
    assert capacity.tokens_per_s == pytest.approx(1000, rel=0.05)


def test_idle_time_is_not_counted(clock: Clock) -> None:
    admission = Admission(Load(pairs=10**6, tokens=10**6, body_bytes=1))
    admission.capacity = Capacity(clock)
    clock.now_s += 1000
    with admission.place(pairs=1, tokens=5000):
        serve(admission.capacity, clock, tokens_per_s=1000, seconds=3, pending=5000)
    assert admission.capacity.tokens_per_s == pytest.approx(1000, rel=0.05)


def test_a_request_that_would_come_too_late_is_refused_at_once() -> None:
    admission = Admission(Load(pairs=10**6, tokens=10**6, body_bytes=1))
    admission.capacity.tokens_per_s = 1000.0
    with admission.place(pairs=1, tokens=6000, remaining_s=5):  # no other work is pending
        with pytest.raises(GatewayError) as raised, admission.place(pairs=1, tokens=3000, remaining_s=10):
            pytest.fail("it was let in")  # 9 s of work, and 10 s are left
        assert raised.value.kind == "overloaded"
        with admission.place(pairs=1, tokens=1000, remaining_s=10):
            assert admission.pending.tokens == 7000
    assert admission.pending == Load()


def test_only_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission(Load(pairs=10, tokens=1000, body_bytes=1))
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(admission.capacity, "answered", lambda *counts: seen.append(counts))
    with admission.place(pairs=1, tokens=400):
        with admission.place(pairs=1, tokens=100):
            admission.chunk_answered(100)
        with pytest.raises(ValueError, match="late"), admission.place(pairs=1, tokens=200):
            raise ValueError("late")
        admission.chunk_answered(150)
    assert seen == [(100, 400), (150, 250)]


def test_a_short_request_beside_anothers_long_one_is_not_refused_for_its_length() -> None:
    admission = Admission(Load(pairs=10**6, tokens=10**6, body_bytes=1))
    admission.capacity.tokens_per_s = 1000.0
    with admission.place(pairs=500, tokens=60_000, remaining_s=300, caller="heavy"):
        with admission.place(pairs=1, tokens=100, remaining_s=5, caller="light"):
            assert admission.pending.tokens == 60_100
        with pytest.raises(GatewayError), admission.place(pairs=1, tokens=100, remaining_s=5, caller="heavy"):
            pytest.fail("it was let in, behind its own caller's 60 s of work")


def test_one_caller_cannot_hold_all_places() -> None:
    admission = Admission(Load(pairs=10**6, tokens=1000, body_bytes=1000), max_body_bytes=10)
    with admission.place(pairs=1, tokens=400, caller="heavy"):
        with pytest.raises(GatewayError), admission.place(pairs=1, tokens=200, caller="heavy"):
            pytest.fail("it was let in")
        with admission.place(pairs=1, tokens=600, caller="light"):
            assert admission.pending.tokens == 1000
    admission.take_body_bytes(500, "heavy")
    with pytest.raises(GatewayError):
        admission.take_body_bytes(1, "heavy")
    admission.take_body_bytes(500, "light")
    for caller in ("heavy", "light"):
        admission.free_body_bytes(500, caller)
    assert admission.pending == Load()
