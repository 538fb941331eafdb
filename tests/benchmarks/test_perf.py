import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import perf
from benchmarks.perf import sweep_row
from benchmarks.perf_analyzer import LoadResult, PerfAnalyzerError, run_perf_analyzer
from benchmarks.step_statistics import STEPS, StepStatistics
from packrank_server.tritonserver import TritonServer, free_ports
from tests.support.repository import ROOT


def test_a_row_has_rates_of_pairs_and_tokens_and_times_of_every_step() -> None:
    before = StepStatistics(requests=1, executions=1, queue_ns=5_000_000, compute_ns=7_000_000)
    after = StepStatistics(requests=5, executions=3, queue_ns=13_000_000, compute_ns=19_000_000)
    steps = dict.fromkeys(STEPS, after.since(before))
    row = sweep_row(2, LoadResult(4.0, 1.0, 2.0, 3.0), steps, pairs=10, tokens=1500)
    assert (row["pairs/s"], row["tokens/s"]) == (40, 6000)
    assert [row[f"{step} queue ms"] for step in STEPS] == [2.0] * 3
    assert [row[f"{step} compute ms"] for step in STEPS] == [3.0] * 3
    assert row["ranker requests/run"] == 2.0


def test_the_real_perf_analyzer_drives_the_ensemble(
    perf_analyzer: Path, server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "RESULTS", tmp_path)
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


def test_a_server_that_is_not_there_is_reported(perf_analyzer: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text('{"data": [{"query": ["a"], "passages": {"content": ["b"], "shape": [1]}}]}')
    with pytest.raises(PerfAnalyzerError, match="perf_analyzer failed"):
        run_perf_analyzer(perf_analyzer, f"127.0.0.1:{free_ports().grpc}", data, requests=1, concurrency=1)


def test_fewer_requests_than_concurrency_is_a_mistake() -> None:
    command = [sys.executable, "-m", "benchmarks.perf", "x", "--concurrency", "8", "--requests", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ))
    assert done.returncode == 2
    assert "REQUESTS must be at least the highest CONCURRENCY" in done.stderr
