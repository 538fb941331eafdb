from __future__ import annotations

import time
from typing import Any

import pytest

from packrank_client import DeadlineExceeded, InvalidRequest
from packrank_client.deadline import Deadline


def test_time_only_runs_out() -> None:
    deadline = Deadline(1000)
    first, second = deadline.remaining_s(), deadline.remaining_s()
    assert 1000 >= first >= second > 0


def test_no_time_left() -> None:
    deadline = Deadline(1e-9)
    time.sleep(0.001)
    with pytest.raises(DeadlineExceeded, match="timeout_s=1e-09"):
        deadline.remaining_s()


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), "3", True])
def test_a_timeout_is_a_number_above_0(timeout_s: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Deadline(timeout_s)
    assert raised.value.kind == "invalid_timeout"
