import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import precision
from benchmarks.package_sets import write_set
from benchmarks.precision import fidelity, first_gains, labelled_questions, ndcg, scaled_residual


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
    assert {one.question.query for one in found} == {"where do apples grow", "which cats climb"}
    for one in found:
        assert len(one.question.passages) == len(one.grades) == 2
        assert one.grades.sum() == 1
    assert len(labelled_questions(sets / "small", 1, 2)) == 1


def test_ndcg_is_one_for_the_same_order_and_falls_with_every_exchange() -> None:
    expected = np.arange(20, dtype=np.float32)
    exchanged_far, exchanged_near = expected.copy(), expected.copy()
    exchanged_near[[19, 18]] = exchanged_near[[18, 19]]
    exchanged_far[[19, 0]] = exchanged_far[[0, 19]]
    gains = first_gains(expected)
    assert ndcg(gains, expected * 3) == 1
    assert 1 > ndcg(gains, exchanged_near) > ndcg(gains, exchanged_far) > 0
    assert ndcg(first_gains(expected[:4]), expected[:4]) == 1
    labelled = np.array([0, 1, 0], np.float32)
    assert ndcg(labelled, np.array([3, 2, 1], np.float32)) == pytest.approx(1 / np.log2(3))
    assert ndcg(labelled, np.array([1, 2, 3], np.float32)) == pytest.approx(1 / np.log2(3))


def test_what_is_not_finite_is_counted() -> None:
    expected = [np.array([1.0, 2.0, 3.0], np.float32)]
    grades = [np.array([0.0, 0.0, 1.0], np.float32)]
    found = fidelity("fp16", expected, [np.array([1.0, np.inf, 3.5], np.float32)], grades)
    assert found.not_finite == 1


def test_only_what_writes_to_the_residual_stream_is_scaled() -> None:
    def ones(_: str) -> NDArray[np.float32]:
        return np.ones(2, np.float32)

    read = scaled_residual(ones, 8)
    for name in ("model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.weight"):
        assert read(name).tolist() == [8, 8]
    for name in ("score.weight", "model.norm.weight", "model.layers.0.mlp.up_proj.weight"):
        assert read(name).tolist() == [1, 1]


def test_the_command_judges_every_precision_and_finds_the_end_of_fp16(
    tiny_checkpoint: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "RESULTS", tmp_path)
    monkeypatch.setattr(precision, "SETS", {"small": (2, 2)})
    monkeypatch.setattr(precision, "CALIBRATION_TOKENS", 512)
    # the last one is beyond what fp16 holds
    monkeypatch.setattr(precision, "RESIDUALS", (1e3, 1e7))
    monkeypatch.setattr(sys, "argv", ["precision", str(tiny_checkpoint), str(sets), "--max-pair-tokens", "512"])
    assert precision.main() == 0
    lines = [line for line in (tmp_path / "precision.md").read_text().splitlines() if line[:2] == "| "]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in rows[:5]] == ["precision", "fp32", "fp16", "bf16", "fp8"]
    fp32, fp16, bf16, fp8 = (float(row[3]) for row in rows[1:5])
    assert 0 == fp32 < fp16 < bf16 < fp8
    as_it_is, scaled, beyond = ([float(cell.replace(",", "").rstrip(" x")) for cell in row[1:]] for row in rows[6:])
    assert as_it_is[0] < 1e3 <= scaled[0] < 2e3
    assert (as_it_is[4], scaled[4]) == (0, 0)
    assert scaled[5] == pytest.approx(as_it_is[5], abs=0.01), "the same function"
    assert beyond[4] == beyond[3] > 0, "not finite"
