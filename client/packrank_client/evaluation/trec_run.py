"""Rankings of many queries in TREC's file format: `query Q0 document rank score tag`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packrank_client.evaluation.errors import EvaluationError


class Hit(NamedTuple):
    """A document and a ranker's score for it; higher is better."""

    document: str
    score: float


Run = Mapping[str, Sequence[Hit]]
"""Hits by query, best first."""


def write_run(run: Run, path: Path, tag: str) -> None:
    """Write a run with full precision, so that the order survives."""
    lines = [
        f"{query} Q0 {hit.document} {rank} {hit.score!r} {tag}\n"
        for query, hits in run.items()
        for rank, hit in enumerate(hits, start=1)
    ]
    draft = path.with_name(path.name + ".draft")
    draft.write_text("".join(lines), encoding="utf-8")
    draft.replace(path)


def read_run(path: Path, depth: int | None = None) -> dict[str, list[Hit]]:
    """Read the `depth` best hits of every query, or all of them, sorted by score as trec_eval does."""
    if not path.is_file():
        raise EvaluationError(f"{path} is not a file: give a TREC run.")
    found: dict[str, list[Hit]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            query, _, document, _, score, _ = fields
            found.setdefault(query, []).append(Hit(document, float(score)))
        except ValueError:
            raise EvaluationError(f"{path}:{number}: not `query Q0 document rank score tag`.") from None
    return {query: sorted(hits, key=lambda hit: -hit.score)[:depth] for query, hits in found.items()}
