from __future__ import annotations

from packrank_client._round_robin import COOL_DOWN_S, RoundRobin


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_endpoints_take_turns() -> None:
    rotation = RoundRobin(["a", "b", "c"])
    assert [rotation.choose() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_excluded_endpoints_are_passed_over() -> None:
    rotation = RoundRobin(["a", "b", "c"])
    assert [rotation.choose({1}) for _ in range(4)] == [0, 2, 0, 2]


def test_an_unavailable_endpoint_is_last_until_it_has_cooled_down() -> None:
    clock = Clock()
    rotation = RoundRobin(["a", "b"], clock=clock)
    rotation.cool_down(0)
    assert [rotation.choose() for _ in range(3)] == [1, 1, 1]
    assert rotation.choose({1}) == 0
    clock.now_s += COOL_DOWN_S
    assert {rotation.choose(), rotation.choose()} == {0, 1}


def test_when_all_are_cooling_they_take_turns() -> None:
    rotation = RoundRobin(["a", "b"], clock=Clock())
    rotation.cool_down(0)
    rotation.cool_down(1)
    assert [rotation.choose() for _ in range(3)] == [0, 1, 0]
