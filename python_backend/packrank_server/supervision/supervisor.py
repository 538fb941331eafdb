"""Keep one child running: start it again when it dies or hangs, more slowly the more often it fails."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from packrank_server.errors import ServerStartError, StartInterrupted


class Child(Protocol):
    """A started child, ready for work."""

    def failure(self) -> str | None:
        """Why it can no longer work, or None. Returns at once."""

    def answers(self) -> bool:
        """Whether it does real work now. May take seconds."""

    def kill(self) -> None:
        """End it at once."""


# Starts a child and waits until it is ready; leaving the context stops the child in order. Raises ServerStartError, and
# StartInterrupted once the event is set.
StartChild = Callable[[threading.Event], AbstractContextManager[Child]]


@dataclass(frozen=True)
class Patience:
    """How often a child is looked at, and when it is given up.

    It hangs if `failed_probes` in a row fail. A restart waits for 0, 1, 2, 4, ... seconds, at most `longest_delay_s`;
    a child that ran for `stable_s` starts again from 0.
    """

    look_interval_s: float = 0.5
    probe_interval_s: float = 5.0
    failed_probes: int = 3
    longest_delay_s: float = 30.0
    stable_s: float = 60.0


class Supervisor:
    """Runs one child on a thread of its own until `stop`.

    The first start must succeed: its error becomes `start_error`, and the supervisor ends. Later ones are tried again.
    """

    def __init__(self, name: str, start_child: StartChild, patience: Patience | None = None) -> None:
        self.start_error: Exception | None = None
        self._name = name
        self._start_child = start_child
        self._patience = patience or Patience()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Start the child; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the child in order, even while it starts, and wait until it has ended."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        started_once, failures = False, 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                with self._start_child(self._stopping) as child:
                    started_once = True
                    began_s = time.monotonic()
                    reason = self._reason_to_restart(child)
            except StartInterrupted:
                return
            except Exception as error:
                if not started_once:
                    self.start_error = error
                    return
                reason = str(error) if isinstance(error, ServerStartError) else repr(error)
            if reason is None:
                return
            if time.monotonic() - began_s > self._patience.stable_s:
                failures = 0
            delay_s = min(2.0 ** (failures - 1), self._patience.longest_delay_s) if failures else 0.0
            failures += 1
            print(f"serve: {self._name}: {reason}; starting it again in {delay_s:.0f} s.", file=sys.stderr, flush=True)
            self._stopping.wait(delay_s)

    def _reason_to_restart(self, child: Child) -> str | None:
        """Watch the child until it fails; None if it was told to stop."""
        failed_probes, next_probe_s = 0, time.monotonic() + self._patience.probe_interval_s
        while not self._stopping.wait(self._patience.look_interval_s):
            failure = child.failure()
            if failure is not None:
                return failure
            if time.monotonic() < next_probe_s:
                continue
            failed_probes = 0 if child.answers() else failed_probes + 1
            if failed_probes == self._patience.failed_probes:
                child.kill()
                return f"it hangs: {failed_probes} questions in a row got no answer"
            next_probe_s = time.monotonic() + self._patience.probe_interval_s
        return None
