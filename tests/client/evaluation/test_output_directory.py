from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.measures import MEASURES
from packrank_client.evaluation.output_directory import Measured, compare_outputs, read_measured


def write(output: Path, name: str, label: str, reranked: float, queries: tuple[str, ...] = ("a", "b")) -> Path:
    directory = output / name
    directory.mkdir(parents=True)
    values = [{measure: np.full(len(queries), number) for measure in MEASURES} for number in (0.25, reranked)]
    Measured(label, list(queries), {"a": "de", "b": "en"}, *values).write(directory)
    return output


def test_what_was_measured_survives_its_file(tmp_path: Path) -> None:
    found = read_measured(write(tmp_path, "faq", "demo", 1 / 3) / "faq")
    assert (found.label, found.queries, found.languages) == ("demo", ["a", "b"], {"a": "de", "b": "en"})
    assert found.first_stage["MRR@10"].tolist() == [0.25, 0.25]
    assert found.reranked["Recall@5"].tolist() == [1 / 3, 1 / 3]


def test_the_gain_is_of_the_new_ranker_over_the_old_one_in_every_set_and_language(tmp_path: Path) -> None:
    old = write(write(tmp_path / "old", "faq", "v1", 0.5), "only-old", "v1", 0.5)
    new = write(tmp_path / "new", "faq", "v2", 0.75)
    comparisons, before, after = compare_outputs(old, new)
    assert (before, after) == ("v1", "v2")
    assert [each.title for each in comparisons] == ["faq", "faq [de]", "faq [en]"]
    assert all(each.gain["MRR@10"].mean == 0.25 for each in comparisons)


def test_rankers_of_one_label_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    old, new = (write(tmp_path / name, "faq", "reranked", 0.5) for name in ("old", "new"))
    assert compare_outputs(old, new)[1:] == (str(old), str(new))


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    old = write(tmp_path / "old", "faq", "v1", 0.5)
    with pytest.raises(EvaluationError, match="asked different queries"):
        compare_outputs(old, write(tmp_path / "other", "faq", "v2", 0.5, queries=("a", "c")))
    with pytest.raises(EvaluationError, match="have no data set in common"):
        compare_outputs(old, write(tmp_path / "elsewhere", "manuals", "v2", 0.5))
    with pytest.raises(EvaluationError, match="holds no finished evaluation: give two --output directories"):
        compare_outputs(old, tmp_path / "faq")
