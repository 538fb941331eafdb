"""The comparison of two rankings, as Markdown for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from packrank_client.evaluation.bootstrap import Estimate, estimate
from packrank_client.evaluation.measures import MEASURES, Values

# A bootstrap sees only its queries: with one query, its interval has no width. With fewer than six, not even a paired
# sign test can tell a gain from chance at 5 % (two-sided, 2 / 2^5 is more). Ten leave some room.
MARKED_FROM_QUERIES = 10


@dataclass(frozen=True)
class Comparison:
    """Two rankings of the same queries, before and after, with the paired difference."""

    title: str
    queries: int
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    gain: dict[str, Estimate]


def compare(title: str, before: Values, after: Values) -> Comparison:
    """Estimate each measure and its paired difference."""
    return Comparison(
        title,
        len(next(iter(before.values()))),
        {name: estimate(before[name]) for name in MEASURES},
        {name: estimate(after[name]) for name in MEASURES},
        {name: estimate(after[name] - before[name]) for name in MEASURES},
    )


def compare_by_language(
    title: str, queries: Sequence[str], languages: Mapping[str, str], before: Values, after: Values
) -> list[Comparison]:
    """Compare per language, if the queries state at least two languages."""
    names = sorted({languages[query] for query in queries if query in languages})  # a sample may lack some
    if len(names) < 2:
        return []
    found = []
    for language in names:
        places = np.array([place for place, query in enumerate(queries) if languages.get(query) == language])
        chosen = [{name: values[places] for name, values in each.items()} for each in (before, after)]
        found.append(compare(f"{title} [{language}]", *chosen))
    return found


def markdown(comparisons: Sequence[Comparison], before: str, after: str | None) -> str:
    """Write one table per measure, and mark each gain beyond chance: its interval excludes 0.

    Sets of fewer than MARKED_FROM_QUERIES queries get no mark. If `after` is None, show only the first ranking.
    """
    blocks = []
    if after is None:
        for name in MEASURES:
            rows = [f"| {name} | queries | {before} |", "|---|---:|---|"]
            rows += [f"| {each.title} | {each.queries} | {_interval(each.before[name])} |" for each in comparisons]
            blocks.append("\n".join(rows))
        return "\n\n".join([*blocks, "Means with 95 % bootstrap intervals over queries."]) + "\n"
    for name in MEASURES:
        rows = [
            f"| {name} | queries | {before} | {after} | gain |",
            "|---|---:|---|---|---|",
        ]
        for each in comparisons:
            gain = each.gain[name]
            sure = each.queries >= MARKED_FROM_QUERIES and (gain.low > 0 or gain.high < 0)
            rows.append(
                f"| {each.title} | {each.queries} | {_interval(each.before[name])} | {_interval(each.after[name])} "
                f"| {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}){' *' if sure else ''} |"
            )
        blocks.append("\n".join(rows))
    note = (
        "Means with 95 % bootstrap intervals over queries. * marks a gain or loss whose interval excludes 0, "
        f"in sets of at least {MARKED_FROM_QUERIES} queries."
    )
    return "\n\n".join([*blocks, note]) + "\n"


def record(comparisons: Sequence[Comparison], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same as JSON for programs."""
    return {"settings": dict(settings), "results": [asdict(each) for each in comparisons]}


def _interval(value: Estimate) -> str:
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"
