"""Waiting for what another process does in its own time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], expected: str, attempts: int = 6000) -> Found:
    """What `look` finds, as soon as it is not None; a minute without is a failure, on a busy machine more."""
    for _ in range(attempts):
        found = look()
        if found is not None:
            return found
        signal.sigtimedwait([], 0.01)
    pytest.fail(f"{expected}: never")
