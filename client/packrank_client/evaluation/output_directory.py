"""The output directory of a finished evaluation: its measures per query, and the comparison of two of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.measures import Values
from packrank_client.evaluation.report import Comparison, compare, compare_by_language
from packrank_client.evaluation.trec_run import read_run

FILE = "measures.json"


@dataclass(frozen=True)
class Measured:
    """A data set's measures before and after reranking, in the order of `queries`."""

    label: str  # of the ranker
    queries: list[str]
    languages: Mapping[str, str]
    first_stage: Values
    reranked: Values

    def write(self, directory: Path) -> None:
        """Write `measures.json`."""
        record = {
            "label": self.label,
            "queries": self.queries,
            "languages": dict(self.languages),
            "first stage": {name: values.tolist() for name, values in self.first_stage.items()},
            "reranked": {name: values.tolist() for name, values in self.reranked.items()},
        }
        (directory / FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")


def read_measured(directory: Path) -> Measured:
    """Read `measures.json` from a data set's directory."""
    record = json.loads((directory / FILE).read_text(encoding="utf-8"))
    first_stage, reranked = (
        {name: np.array(values) for name, values in record[stage].items()} for stage in ("first stage", "reranked")
    )
    return Measured(record["label"], record["queries"], record["languages"], first_stage, reranked)


def compare_outputs(old: Path, new: Path) -> tuple[list[Comparison], str, str]:
    """Compare the data sets that two output directories share; return the comparisons and both rankers' names.

    Raises:
        EvaluationError: they share no data set, or used different queries of one.
    """
    for output in (old, new):
        if not any(output.glob(f"*/{FILE}")):
            raise EvaluationError(f"{output} holds no finished evaluation: give two --output directories.")
    names = sorted(path.parent.name for path in old.glob(f"*/{FILE}") if (new / path.parent.name / FILE).is_file())
    if not names:
        raise EvaluationError(f"{old} and {new} have no data set in common: evaluate the same data.")
    comparisons: list[Comparison] = []
    for name in names:
        before, after = read_measured(old / name), read_measured(new / name)
        if before.queries != after.queries:
            raise EvaluationError(f"{old / name} and {new / name} asked different queries: evaluate the same data.")
        comparisons.append(compare(name, before.reranked, after.reranked))
        comparisons += compare_by_language(name, before.queries, before.languages, before.reranked, after.reranked)
    if before.label == after.label:
        return comparisons, str(old), str(new)
    return comparisons, before.label, after.label


def same_candidates(old: Path, new: Path) -> bool:
    """Tell whether both evaluations reranked the same documents for every query of their common data sets."""
    return all(
        _candidates(old / path.parent.name) == _candidates(path.parent)
        for path in new.glob(f"*/{FILE}")
        if (old / path.parent.name / FILE).is_file()
    )


def _candidates(directory: Path) -> dict[str, set[str]]:
    run = read_run(directory / "first-stage.trec")
    return {query: {hit.document for hit in hits} for query, hits in run.items()}
