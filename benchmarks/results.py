"""Write results to benchmarks/results: one Markdown writer, one CSV writer, and the machine they come from."""

from __future__ import annotations

import csv
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from packrank_backend.build_record import read_build_record

RESULTS = Path(__file__).resolve().parent / "results"

Row = Mapping[str, float | str]


def result_file(name: str) -> Path:
    """Return benchmarks/results/<name>, in a folder that exists."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / name


def markdown_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Format rows as an aligned Markdown table; `columns` selects some. Numbers have at most six digits."""
    columns = columns or list(rows[0])
    cells = [list(columns), *([cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)


def cell(value: float | str) -> str:
    """Format one value: text as it is, a number with at most six digits."""
    return value if isinstance(value, str) else f"{value:.6g}"


def write_csv(name: str, rows: Sequence[Row]) -> None:
    """Write benchmarks/results/<name>.csv."""
    with result_file(f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_markdown(name: str, *parts: str) -> None:
    """Write the parts to benchmarks/results/<name>.md, a blank line between them, and print them."""
    text = "\n\n".join(parts)
    result_file(f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nWritten to benchmarks/results/{name}.*", flush=True)


def machine() -> str:
    """Describe processor, usable cores, memory and system; nothing identifies one machine among its kind."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    processor = found[1] if found else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.system()}"


def model_and_machine(repository: Path) -> str:
    """Name the published model, its precision and this machine, in one line."""
    record = read_build_record(repository / "ranker" / "1")
    return f"Model: {record.source}, {record.precision}. Machine: {machine()}."
