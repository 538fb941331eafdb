import csv
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from benchmarks import results
from packrank_backend.build_record import read_build_record
from packrank_backend.text.prompt import pair_text
from packrank_build.tensorrt.targets import TARGETS
from tests.checks.gpu import __main__ as check_gpu
from tests.checks.gpu.__main__ import ceiling_tokens_per_s, matrix_elements, uniform_questions
from tests.support.random_checkpoint import random_architecture
from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def perf_analyzer() -> Path:
    command = [sys.executable, str(ROOT / "scripts" / "provide_perf_analyzer.py")]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


@pytest.mark.parametrize("pair_tokens", [64, 256, 1024])
def test_every_pair_of_a_uniform_workload_has_the_length(pair_tokens: int, repository: Path) -> None:
    tokenizer = Tokenizer.from_file(str(repository / "tokenizer" / "1" / "tokenizer.json"))
    questions = uniform_questions(3, pair_tokens, 2048, tokenizer)
    assert len(questions) == 3
    assert len(questions[0].passages) == min(16, 2048 // pair_tokens)
    for passage in questions[0].passages:
        assert len(tokenizer.encode(pair_text(questions[0].query, passage)).ids) == pair_tokens


def test_the_ceilings_are_those_of_the_design() -> None:
    elements = matrix_elements(vars(random_architecture("llama-3.2-1b")))
    assert elements == pytest.approx(0.973e9, rel=1e-3)
    ceilings = {name: ceiling_tokens_per_s(target.peak_fp16_flops, elements) for name, target in TARGETS.items()}
    assert {name: round(ceiling / 1000) for name, ceiling in ceilings.items()} == {
        "b200": 1156,
        "h200": 508,
        "h100": 508,
        "a100": 160,
        "l40s": 186,
        "l4": 62,
        "a10g": 36,
    }


def test_the_whole_check_runs_with_the_cpu_in_place_of_the_gpu(
    perf_analyzer: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    arguments = ["--config", "cpu", "--repository", str(repository), "--requests", "6", "--concurrency", "1", "4", "64"]
    lengths = ["--pair-tokens", "64", "1024", "8192", "--peer-tokens", "2000", "--no-huggingface"]
    monkeypatch.setattr(sys, "argv", ["check-gpu", str(perf_analyzer), *arguments, *lengths])
    assert check_gpu.main() == 0
    with (tmp_path / "check-gpu-cpu.csv").open(newline="") as file:
        rows = [(row["workload"], row["concurrency"]) for row in csv.DictReader(file)]
    assert read_build_record(repository / "ranker" / "1").max_pair_tokens == 1024, "so 8192 is left out"
    names = ("pairs of 64 tokens", "pairs of 1024 tokens", "mixed lengths")
    assert rows == [(name, concurrency) for name in names for concurrency in ("1", "4")]
    text = (tmp_path / "check-gpu-cpu.md").read_text()
    assert "# The ensemble with the config cpu" in text
    assert "## Served: pairs of 64 tokens\n\n| concurrency | pairs/s | tokens/s | p50 ms" in text
    compared = text.partition("## Packed against padded: mixed lengths\n\n")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in compared.strip().splitlines()]
    peers = {line[0]: dict(zip(cells[0], line, strict=True)) for line in cells[2:]}
    assert list(peers) == ["packed", "padded, one batch per request", "padded, sorted by length"]
    assert all(float(peer["max Δ logit"]) < 1e-4 for peer in peers.values()), "all score the same pairs alike"
    assert float(peers["padded, one batch per request"]["padding %"]) > 10
    for plot in ("check-gpu-cpu-tok.svg", "check-gpu-cpu-p95.svg"):
        assert plot in text
        assert (tmp_path / plot).is_file()


def test_without_a_gpu_nothing_is_measured(
    perf_analyzer: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["check-gpu", str(perf_analyzer), "--config", "l4", "--no-huggingface", "--repository", str(repository)],
    )
    assert check_gpu.main() == 1
    assert "make engine: no GPU here" in capfd.readouterr().err
