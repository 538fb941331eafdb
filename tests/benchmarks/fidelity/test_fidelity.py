import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results
from benchmarks.fidelity import __main__ as command
from benchmarks.fidelity import precisions
from benchmarks.fidelity.__main__ import labelled_questions
from benchmarks.fidelity.compared import fidelity_row, ndcg_at_10, verdict
from packrank_client.evaluation.bootstrap import Estimate
from packrank_training.evaluation.evaluation_sets import write_set


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Two questions whose answer shares words with them, and one whose answer does not."""
    corpus = {"a": "apples grow on trees", "b": "boats float", "c": "cats climb trees", "d": "dogs dig"}
    queries = {"1": "where do apples grow", "2": "which cats climb", "3": "nothing in common"}
    directory = tmp_path / "sets" / "small"
    write_set(directory, queries, corpus, {"1": ["a"], "2": ["c"], "3": ["d"]}, {})
    return tmp_path / "sets"


def test_a_question_has_its_answer_among_its_candidates(sets: Path) -> None:
    found = labelled_questions(sets / "small", 5, 2)
    assert {question.query for question, _ in found} == {"where do apples grow", "which cats climb"}
    for question, grades in found:
        assert len(question.passages) == len(grades) == 2
        assert sum(grades) == 1
    assert len(labelled_questions(sets / "small", 1, 2)) == 1


def test_ndcg_is_trec_evals_over_the_candidates() -> None:
    logits = [np.array([3, 2, 1], np.float32), np.array([1, 2, 3], np.float32)]
    assert ndcg_at_10(logits, [[1, 0, 0], [0, 1, 0]]).tolist() == pytest.approx([1, 1 / np.log2(3)])


def test_equal_logits_keep_the_order_of_the_candidates() -> None:
    assert ndcg_at_10([np.zeros(3, np.float32)], [[1, 0, 0]]).tolist() == [1]


def test_the_gate_looks_at_order_and_at_the_answer() -> None:
    reference = [np.array([3.0, 2.0, 1.0, 0.0], np.float32)]
    same = fidelity_row("int8", reference, [reference[0] + 1], [[1, 0, 0, 0]])
    assert (same["Kendall τ"], same["gate"]) == (1, "passes")
    swapped = fidelity_row("int8", reference, [reference[0][[1, 0, 2, 3]]], [[1, 0, 0, 0]])
    assert float(swapped["change"]) == pytest.approx(1 / np.log2(3) - 1, abs=1e-3)
    assert swapped["gate"] == "fails"
    sure, lossless = Estimate(0.99, 0.986, 0.995), Estimate(0.0, -0.001, 0.001)
    assert verdict(sure, lossless) == "passes"
    assert verdict(Estimate(0.984, 0.98, 0.99), lossless) == "fails"
    assert verdict(sure, Estimate(-0.006, -0.01, 0.0)) == "fails"
    assert verdict(Estimate(0.99, 0.98, 0.995), lossless) == "passes, interval reaches beyond"
    assert verdict(sure, Estimate(0.0, -0.01, 0.01)) == "passes, interval reaches beyond"


def test_an_interval_is_as_wide_as_the_questions_differ() -> None:
    reference = [np.array([3.0, 2.0, 1.0, 0.0], np.float32)] * 20
    measured = [one[[1, 0, 2, 3]] if number % 2 else one for number, one in enumerate(reference)]
    found = fidelity_row("int8", reference, measured, [[1, 0, 0, 0]] * 20)
    assert found["Kendall τ"] == pytest.approx(1 - 1 / 6, abs=1e-3)
    low, high = map(float, str(found["τ, 95 %"]).split(" to "))
    assert low < float(found["Kendall τ"]) < high


def test_what_is_not_finite_is_counted() -> None:
    expected = [np.array([1.0, 2.0, 3.0], np.float32)]
    found = fidelity_row("fp16", expected, [np.array([1.0, np.inf, 3.5], np.float32)], [[0, 0, 1]])
    assert found["not finite"] == 1


def test_the_command_judges_every_precision(
    tiny_checkpoint: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "SETS", {"small": (2, 2)})
    monkeypatch.setattr(precisions, "CALIBRATION_TOKENS", 512)
    monkeypatch.setattr(sys, "argv", ["fidelity", str(tiny_checkpoint), str(sets), "--max-pair-tokens", "512"])
    assert command.main() == 0
    with (tmp_path / "results" / "fidelity.csv").open(newline="") as file:
        rows = {row["precision"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["fp32", "int8", "fp16", "bf16", "fp8"]
    fp32, fp16, bf16, fp8 = (float(rows[name]["max Δ logit"]) for name in ("fp32", "fp16", "bf16", "fp8"))
    assert 0 == fp32 < fp16 < bf16 < fp8
    assert float(rows["int8"]["max Δ logit"]) > 0
    assert {row["not finite"] for row in rows.values()} == {"0"}
    assert "2 labelled questions, 4 pairs" in (tmp_path / "results" / "fidelity.md").read_text()
