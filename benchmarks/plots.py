"""Plots of measurements, as SVG that a browser shows without anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]


def line_plot(
    path: Path, series: Mapping[str, Points], *, title: str, x: str, y: str, log_x: bool = False, log_y: bool = False
) -> None:
    """Write `path` (.svg): one line for each series of (x, y) points; `x` and `y` name the axes, units included."""
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
    _save(figure, path)


def bar_plot(path: Path, groups: Mapping[str, Mapping[str, float]], *, title: str, y: str) -> None:
    """Write `path` (.svg): groups of bars, `groups[group][bar]` high; a bar that a group lacks is left out."""
    bars = list(dict.fromkeys(bar for group in groups.values() for bar in group))
    figure, axes = plt.subplots(figsize=(max(7, 0.45 * len(groups) * len(bars)), 4), layout="constrained")
    width = 0.8 / len(bars)
    for place, bar in enumerate(bars):
        present = [(index, group[bar]) for index, group in enumerate(groups.values()) if bar in group]
        left = [index + (place - (len(bars) - 1) / 2) * width for index, _ in present]
        drawn = axes.bar(left, [height for _, height in present], width, label=bar)
        axes.bar_label(drawn, fmt="{:.3g}", fontsize=7, padding=1)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set(title=title, ylabel=y)
    axes.legend(fontsize=8, ncols=2)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # without a date, the same measurement gives the same file
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
