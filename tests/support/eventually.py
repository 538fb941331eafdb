"""Waits for something that another process does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], expected: str, attempts: int = 6000) -> Found:
    """Return what `look` finds once it is not None; fail after about a minute, or longer on a busy machine."""
    for _ in range(attempts):
        found = look()
        if found is not None:
            return found
        signal.sigtimedwait([], 0.01)
    pytest.fail(f"{expected}: never")
