import numpy as np

from packrank_backend.stage_times import stage_times_us


def test_from_readings_to_microseconds() -> None:
    began_ns = 10**18
    times = stage_times_us(np.array([[began_ns, began_ns + 2_500_999]], np.int64), began_ns + 3_000_000_000)
    np.testing.assert_array_equal(times, [[2500, 2_997_499]])
    assert times.dtype == np.int32


def test_more_than_int32_holds_is_the_largest() -> None:
    times = stage_times_us(np.array([[0, 0]], np.int64), 10**13)
    np.testing.assert_array_equal(times, [[0, 2**31 - 1]])
