"""The supervisor with children of the test's; real ones are in tests/gateway/test_serve.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from packrank_server.errors import ServerStartError, StartInterrupted
from packrank_server.supervision.supervisor import Patience, Supervisor
from tests.support.eventually import eventually

QUICK = Patience(look_interval_s=0.001, probe_interval_s=0.002, failed_probes=3, longest_delay_s=0.01, stable_s=600)


@dataclass
class FakeChild:
    died: str | None = None
    answering: bool = True
    probes: int = 0
    killed: bool = False
    stopped: bool = False

    def failure(self) -> str | None:
        return self.died

    def answers(self) -> bool:
        self.probes += 1
        return self.answering

    def kill(self) -> None:
        self.killed = True


@dataclass
class Nursery:
    """Starts children, and fails as often as it is told."""

    children: list[FakeChild] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @contextmanager
    def start(self, _stopping: threading.Event) -> Iterator[FakeChild]:
        if self.errors:
            raise ServerStartError(self.errors.pop(0))
        child = FakeChild()
        self.children.append(child)
        yield child
        child.stopped = True

    def wait_for(self, count: int) -> FakeChild:
        return eventually(lambda: self.children[-1] if len(self.children) == count else None, f"{count} starts")


@pytest.fixture
def nursery() -> Nursery:
    return Nursery()


@pytest.fixture
def supervisor(nursery: Nursery) -> Iterator[Supervisor]:
    running = Supervisor("the child", nursery.start, QUICK)
    running.start()
    yield running
    running.stop()


def probed(child: FakeChild, times: int) -> Callable[[], bool | None]:
    return lambda: child.probes >= times or None


def test_a_child_that_answers_is_left_alone(nursery: Nursery, supervisor: Supervisor) -> None:
    child = nursery.wait_for(1)
    eventually(probed(child, 10), "ten probes")
    supervisor.stop()
    assert (len(nursery.children), child.killed, child.stopped) == (1, False, True)


def test_a_dead_child_is_started_again(
    nursery: Nursery, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    for count in range(1, 4):
        nursery.wait_for(count).died = "it ended with code -9"
    assert nursery.wait_for(4).died is None
    assert all(child.stopped for child in nursery.children[:3])
    assert capsys.readouterr().err.count("serve: the child: it ended with code -9; starting it again in") == 3


def test_a_child_that_hangs_is_killed_and_started_again(nursery: Nursery, supervisor: Supervisor) -> None:
    child = nursery.wait_for(1)
    child.answering = False
    nursery.wait_for(2)
    assert (child.killed, child.stopped) == (True, True)
    assert not nursery.children[1].killed


def test_only_failures_in_a_row_count(nursery: Nursery, supervisor: Supervisor) -> None:
    child = nursery.wait_for(1)
    answers = [False, False, True] * 5
    child.answers = lambda: answers.pop(0) if answers else True  # type: ignore[method-assign]
    eventually(lambda: not answers or None, "all answers are given")
    assert not child.killed
    assert len(nursery.children) == 1


def test_a_failing_first_start_is_the_end(nursery: Nursery) -> None:
    nursery.errors = ["no model has been built", "never reached"]
    supervisor = Supervisor("the child", nursery.start, QUICK)
    supervisor.start()
    error = eventually(lambda: supervisor.start_error, "the error")
    supervisor.stop()
    assert str(error) == "no model has been built"
    assert nursery.errors == ["never reached"]


def test_a_failing_later_start_is_tried_again(nursery: Nursery, supervisor: Supervisor) -> None:
    child = nursery.wait_for(1)
    nursery.errors = ["port 8001 cannot be used"] * 3
    child.died = "it died"
    nursery.wait_for(2)
    assert not nursery.errors
    assert supervisor.start_error is None


def test_restarts_wait_longer_each_time_up_to_a_limit(
    nursery: Nursery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    supervisor = Supervisor("the child", nursery.start, Patience(look_interval_s=0, probe_interval_s=600))
    wait = supervisor._stopping.wait

    def note(seconds: float) -> bool:
        delays.append(seconds)
        return wait(0)

    monkeypatch.setattr(supervisor._stopping, "wait", note)
    supervisor.start()
    for count in range(1, 9):
        nursery.wait_for(count).died = "it died"
    nursery.wait_for(9)
    monkeypatch.undo()
    supervisor.stop()
    shown = [line.rpartition(" in ")[2] for line in capsys.readouterr().err.splitlines()]
    assert shown == ["0 s.", "1 s.", "2 s.", "4 s.", "8 s.", "16 s.", "30 s.", "30 s."]
    assert [delay for delay in delays if delay] == [1, 2, 4, 8, 16, 30, 30]


def test_a_start_that_is_interrupted_ends_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    begun = threading.Event()

    @contextmanager
    def start(stopping: threading.Event) -> Iterator[FakeChild]:
        begun.set()
        stopping.wait()
        raise StartInterrupted
        yield

    supervisor = Supervisor("the child", start, QUICK)
    supervisor.start()
    begun.wait()
    supervisor.stop()
    assert supervisor.start_error is None
    assert not capsys.readouterr().err
