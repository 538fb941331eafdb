"""The tables as Markdown, and the goals as reached, missed or not run."""

from __future__ import annotations

from collections.abc import Mapping

from tests.checks.gpu_torch.study import Row, Table


def markdown(heading: list[str], tables: Mapping[str, Table], left_out: Mapping[str, str]) -> str:
    """One section per question."""
    parts = ["\n\n".join(heading)]
    for table in tables.values():
        parts.append(f"## {table.question}\n\n{_table(table.rows)}" + (f"\n\n{table.note}" if table.note else ""))
    if left_out:
        parts.append("## Not run\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in left_out.items()))
    return "\n\n".join(parts) + "\n"


def goal(name: str, wanted: float, measured: float | None, *, at_most: bool = False) -> Row:
    """One goal's row."""
    row: Row = {"goal": name, "wanted": f"{'<=' if at_most else '>='} {wanted}", "measured": measured}
    if measured is None:
        return row | {"measured": "", "verdict": "not run"}
    reached = measured <= wanted if at_most else measured >= wanted
    return row | {"verdict": "reached" if reached else "missed"}


def _table(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
