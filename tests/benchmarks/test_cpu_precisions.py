import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cpu_precisions
from benchmarks.cpu_precisions import fidelity, main, ndcg_at_10, passes, projection_weights
from benchmarks.gemm_peak import gemm_peak_gops
from packrank_build.architecture import architecture_from_config
from tests.conftest import needs_vnni


def test_ndcg_of_one_right_passage() -> None:
    logits = np.arange(20, 0, -1).astype(np.float32)
    assert ndcg_at_10(logits, 0) == 1
    assert ndcg_at_10(logits, 2) == pytest.approx(0.5)
    assert ndcg_at_10(logits, 9) == pytest.approx(1 / np.log2(11))
    assert ndcg_at_10(logits, 10) == 0


def test_the_gate_looks_at_order_and_at_the_answer() -> None:
    reference = [np.array([3.0, 2.0, 1.0, 0.0], np.float32)]
    same = fidelity(reference, [reference[0] + 1], [0])
    assert same["Kendall tau"] == 1
    assert passes(same)
    swapped = fidelity(reference, [reference[0][[1, 0, 2, 3]]], [0])
    assert swapped["nDCG@10 - fp32"] == pytest.approx(1 / np.log2(3) - 1, abs=1e-3)
    assert not passes(swapped)
    assert not passes(same | {"Kendall tau": 0.97})


def test_projection_weights_are_those_of_the_architecture(tiny_checkpoint: Path) -> None:
    architecture = architecture_from_config(tiny_checkpoint)
    shapes = architecture.weight_shapes()
    expected = sum(shape[0] * shape[1] for name, shape in shapes.items() if "_proj" in name)
    assert projection_weights(vars(architecture)) == expected


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_peak_is_a_speed(precision: str) -> None:
    assert gemm_peak_gops(precision, 64, 160) > 0.1


@needs_vnni
def test_the_command_measures_both_precisions(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "questions.jsonl"
    lines = [{"question": f"question {n}?", "passages": ["a", "two words", "word " * n], "answer": 0} for n in (3, 90)]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(cpu_precisions, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(
        sys, "argv", ["bench", f"--model={tiny_checkpoint}", f"--questions={questions}", "--max-pair-tokens=512"]
    )
    assert main() == 0
    report = (tmp_path / "results" / "cpu_precisions.md").read_text()
    assert "2 questions" in report
    assert [line.split(" | ")[0] for line in report.splitlines()[6:]] == ["| fp32", "| int8"]
    assert report in capsys.readouterr().out
