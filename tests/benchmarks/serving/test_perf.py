import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results
from benchmarks.errors import BenchmarkError
from benchmarks.serving import perf
from benchmarks.serving.perf import STEPS, sweep_row
from benchmarks.serving.perf_analyzer import LoadResult, input_data, run_perf_analyzer
from benchmarks.workload import mixed_questions
from packrank_backend.text.question import Question
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.repository import ROOT


def test_perf_analyzer_gets_one_step_per_request() -> None:
    questions = mixed_questions(3)
    steps = input_data(questions)["data"]
    assert [step["query"] for step in steps] == [[question.query] for question in questions]
    assert [step["passages"] for step in steps] == [
        {"content": question.passages, "shape": [len(question.passages)]} for question in questions
    ]


def test_a_row_has_rates_of_pairs_and_tokens_and_times_of_every_step() -> None:
    before = np.array([1, 1, 5_000_000, 7_000_000])  # requests, executions, ns in the queue, ns of compute
    after = np.array([5, 3, 13_000_000, 19_000_000])
    row = sweep_row(2, LoadResult(4.0, 1.0, 2.0, 3.0), dict.fromkeys(STEPS, after - before), pairs=10, tokens=1500)
    assert (row["pairs/s"], row["tokens/s"]) == (40, 6000)
    assert [row[f"{step} queue ms"] for step in STEPS] == [2.0] * 3
    assert [row[f"{step} compute ms"] for step in STEPS] == [3.0] * 3
    assert row["ranker requests/run"] == 2.0


def test_the_real_perf_analyzer_drives_the_ensemble(
    perf_analyzer: Path, server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        ["perf", str(perf_analyzer), "--url", server.grpc_endpoint, "--concurrency", "1", "3", "--requests", "12"],
    )
    assert perf.main() == 0
    with (tmp_path / "perf.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["concurrency"] for row in rows] == ["1", "3"]
    assert all(float(row[column]) > 0 for row in rows for column in ("pairs/s", "tokens/s", "p50 ms", "p99 ms"))
    assert float(rows[0]["ranker requests/run"]) == 1
    assert "| concurrency | pairs/s | tokens/s |" in (tmp_path / "perf.md").read_text()


def test_a_server_that_is_not_there_is_reported(perf_analyzer: Path) -> None:
    endpoint = f"127.0.0.1:{free_ports().grpc}"
    with pytest.raises(BenchmarkError, match="perf_analyzer failed"):
        run_perf_analyzer(perf_analyzer, endpoint, [Question("a", ["b"])], concurrency=1)


def test_fewer_requests_than_concurrency_is_a_mistake() -> None:
    command = [sys.executable, "-m", "benchmarks.serving.perf", "x", "--concurrency", "8", "--requests", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ))
    assert done.returncode == 2
    assert "REQUESTS must be at least the highest CONCURRENCY" in done.stderr
