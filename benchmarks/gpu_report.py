"""One report of `make gpu-check`, as Markdown and as one HTML file that holds its plots."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Row, markdown_table

STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd; }
svg { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Section:
    """A title, a sentence, and a table or SVG files, where there are any."""

    title: str
    text: str
    rows: Sequence[Row] = ()
    plots: Sequence[Path] = field(default=())


def markdown_report(heading: Sequence[str], sections: Sequence[Section]) -> str:
    """`heading` is the title and then facts; plots are linked as files beside the report."""
    title, *facts = heading
    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts)]
    for section in sections:
        parts += [f"## {section.title}", section.text]
        parts += [f"![{plot.stem}]({plot.name})" for plot in section.plots]
        if section.rows:
            parts.append(markdown_table(section.rows))
    return "\n\n".join(filter(None, parts)) + "\n"


def html_report(heading: Sequence[str], sections: Sequence[Section]) -> str:
    """The same with the plots inside."""
    title, *facts = map(html.escape, heading)
    parts = [f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>']
    parts += [f"<h1>{title}</h1>", f"<ul>{''.join(f'<li>{fact}</li>' for fact in facts)}</ul>"]
    for section in sections:
        parts += [f"<h2>{html.escape(section.title)}</h2>", f"<p>{html.escape(section.text)}</p>"]
        for plot in section.plots:
            svg = plot.read_text(encoding="utf-8")
            parts.append(svg[svg.index("<svg") :])  # without the prologue of a file
        if section.rows:
            parts.append(_html_table(section.rows))
    return "\n".join(parts) + "\n</html>\n"


def _html_table(rows: Sequence[Row]) -> str:
    columns = list(rows[0])
    cells = [[value if isinstance(value, str) else f"{value:.6g}" for value in row.values()] for row in rows]
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in cells)
    return f"<table><tr>{head}</tr>{body}</table>"
