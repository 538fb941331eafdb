"""Tables of measurements as Markdown and CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"

Row = Mapping[str, float | str]


def markdown_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """The rows as a Markdown table that lines up; `columns` picks some of them. Numbers have six digits at most."""
    columns = columns or list(rows[0])
    cells = [list(columns), *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def write_csv(name: str, rows: Sequence[Row]) -> None:
    """Leave benchmarks/results/<name>.csv."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_markdown(name: str, text: str) -> None:
    """Leave benchmarks/results/<name>.md, and print it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nWritten to benchmarks/results/{name}.*", flush=True)
