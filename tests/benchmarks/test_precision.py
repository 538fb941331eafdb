import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import precision
from benchmarks.precision import fidelity, ndcg_of_order, precision_questions


def test_the_judged_pairs_are_many_and_long_ones_are_among_them() -> None:
    questions = precision_questions()
    assert sum(len(question.passages) for question in questions) >= 500
    assert all(max(map(len, question.passages)) > 800 for question in questions)
    assert precision_questions() == questions
    assert precision_questions(seed=1) != questions, "what fp8 is calibrated on is not what it is judged on"


def test_ndcg_is_one_for_the_same_order_and_falls_with_every_exchange() -> None:
    expected = np.arange(20, dtype=np.float32)
    exchanged_far, exchanged_near = expected.copy(), expected.copy()
    exchanged_near[[19, 18]] = exchanged_near[[18, 19]]
    exchanged_far[[19, 0]] = exchanged_far[[0, 19]]
    assert ndcg_of_order(expected, expected * 3) == 1
    assert 1 > ndcg_of_order(expected, exchanged_near) > ndcg_of_order(expected, exchanged_far) > 0
    assert ndcg_of_order(expected[:4], expected[:4]) == 1


def test_what_is_not_finite_is_counted() -> None:
    expected = [np.array([1.0, 2.0, 3.0], np.float32)]
    found = fidelity("fp16", expected, [np.array([1.0, np.inf, 3.5], np.float32)])
    assert found.not_finite == 1


def test_the_command_judges_every_precision(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "RESULTS", tmp_path)
    monkeypatch.setattr(precision, "precision_questions", lambda seed=0: precision_questions(seed)[:1])
    monkeypatch.setattr(sys, "argv", ["precision", str(tiny_checkpoint), "--max-pair-tokens", "128"])
    assert precision.main() == 0
    rows = [line.split(" | ") for line in (tmp_path / "precision.md").read_text().splitlines() if line[:2] == "| "]
    assert [row[0].strip("| ") for row in rows] == ["precision", "fp16", "bf16", "fp8"]
    fp16, bf16, fp8 = (float(row[3]) for row in rows[1:])
    assert 0 < fp16 < bf16 < fp8
    assert "fp16 ends at 65504" in (tmp_path / "precision.md").read_text()
