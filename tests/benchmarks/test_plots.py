import re
from pathlib import Path

import pytest

from benchmarks.plots import line_plot


def texts(svg: Path) -> list[str]:
    """The comments that matplotlib writes beside the outlines of each text."""
    return re.findall(r"<!-- (.*?) -->", svg.read_text())


@pytest.mark.parametrize("log", [False, True])
def test_a_line_plot_names_axes_and_series(tmp_path: Path, log: bool) -> None:
    path = tmp_path / "a.svg"
    series = {"packed": [(1, 2.0), (2, 4.0)], "padded": [(1, 1.0), (2, 1.5)]}
    line_plot(path, series, title="Speed", x="passages", y="pairs/s", log_x=log, log_y=log)
    assert {"Speed", "passages", "pairs/s", "packed", "padded"} <= set(texts(path))


def test_the_same_measurement_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        line_plot(tmp_path / name / "plot.svg", {"a": [(1, 1)]}, title="t", x="x", y="y")
    assert (tmp_path / "one" / "plot.svg").read_bytes() == (tmp_path / "two" / "plot.svg").read_bytes()
