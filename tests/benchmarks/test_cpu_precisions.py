import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cpu_precisions
from benchmarks.cpu_precisions import fidelity, main, projection_weights, verdict
from benchmarks.gemm_peak import gemm_peak_gops
from benchmarks.package_sets import write_set
from packrank_build.checkpoint.architecture import architecture_from_config


def test_the_gate_looks_at_order_and_at_the_answer() -> None:
    reference = [np.array([3.0, 2.0, 1.0, 0.0], np.float32)]
    grades = [np.array([1.0, 0.0, 0.0, 0.0], np.float32)]
    same = fidelity(reference, [reference[0] + 1], grades)
    assert same["Kendall tau"] == 1
    assert verdict(same) == "passes"
    swapped = fidelity(reference, [reference[0][[1, 0, 2, 3]]], grades)
    assert swapped["nDCG@10 - fp32"] == pytest.approx(1 / np.log2(3) - 1, abs=1e-3)
    assert verdict(swapped) == "does not pass"
    assert verdict(same | {"Kendall tau": 0.97}) == "does not pass"
    assert verdict(same | {"tau from": 0.97}) == "passes by its means, but may be outside"
    assert verdict(same | {"change from": -0.01}) == "passes by its means, but may be outside"


def test_an_interval_is_as_wide_as_the_questions_differ() -> None:
    reference = [np.array([3.0, 2.0, 1.0, 0.0], np.float32)] * 20
    measured = [one[[1, 0, 2, 3]] if number % 2 else one for number, one in enumerate(reference)]
    found = fidelity(reference, measured, [np.array([1.0, 0.0, 0.0, 0.0], np.float32)] * 20)
    assert found["Kendall tau"] == pytest.approx(1 - 1 / 6, abs=1e-3)
    assert found["tau from"] < found["Kendall tau"] < found["tau to"]


def test_projection_weights_are_those_of_the_architecture(tiny_checkpoint: Path) -> None:
    architecture = architecture_from_config(tiny_checkpoint)
    shapes = architecture.weight_shapes()
    expected = sum(shape[0] * shape[1] for name, shape in shapes.items() if "_proj" in name)
    assert projection_weights(vars(architecture)) == expected


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_peak_is_a_speed(precision: str) -> None:
    assert gemm_peak_gops(precision, 64, 160) > 0.1


def test_the_command_measures_both_precisions(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = {"a": "apples grow on trees", "b": "boats float", "c": "cats climb trees " * 20}
    write_set(
        tmp_path / "sets" / "small",
        {"1": "where do apples grow", "2": "which cats climb"},
        corpus,
        {"1": ["a"], "2": ["c"]},
        {},
    )
    monkeypatch.setattr(cpu_precisions, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(cpu_precisions, "SETS", ("small",))
    monkeypatch.setattr(
        sys, "argv", ["bench", str(tmp_path / "sets"), f"--model={tiny_checkpoint}", "--max-pair-tokens=512"]
    )
    assert main() == 0
    report = (tmp_path / "results" / "cpu_precisions.md").read_text()
    assert "2 questions" in report
    assert [line.split(" | ")[0] for line in report.splitlines()[6:]] == ["| fp32", "| int8"]
    assert report in capsys.readouterr().out
