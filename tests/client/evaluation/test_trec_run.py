from __future__ import annotations

from pathlib import Path

import pytest

from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.trec_run import Hit, read_run, write_run

RUN = {"q1": [Hit("d2", 1 / 3), Hit("d1", -0.1)], "q2": [Hit("d1", 7.0)]}


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    write_run(RUN, tmp_path / "run.trec", "bm25")
    assert (tmp_path / "run.trec").read_text().splitlines()[1] == "q1 Q0 d1 2 -0.1 bm25"
    assert read_run(tmp_path / "run.trec", 10) == RUN


def test_scores_decide_and_not_ranks(tmp_path: Path) -> None:
    (tmp_path / "run.trec").write_text("q Q0 low 1 0.5 x\nq Q0 high 2 0.9 x\n\n")
    assert read_run(tmp_path / "run.trec", 1) == {"q": [Hit("high", 0.9)]}


@pytest.mark.parametrize("line", ["q Q0 d 1 0.5", "q Q0 d 1 high x"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "run.trec").write_text(line + "\n")
    with pytest.raises(EvaluationError, match=r"run.trec:1: not `query Q0"):
        read_run(tmp_path / "run.trec", 1)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not a file"):
        read_run(tmp_path / "run.trec", 1)
