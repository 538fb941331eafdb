"""Draw measurements as an SVG file that a browser shows by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

Points = Sequence[tuple[float, float]]


def line_plot(
    path: Path, series: Mapping[str, Points], *, title: str, x: str, y: str, log_x: bool = False, log_y: bool = False
) -> None:
    """Write `path` (.svg): one line per series of (x, y) points. `x` and `y` name the axes and their units."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend()
    # without a date, the same measurement gives the same file
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
