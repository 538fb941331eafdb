import asyncio
import csv
from pathlib import Path

import pytest

from benchmarks import load, report
from benchmarks.open_loop import ANSWERED
from packrank_server.tritonserver import TritonServer
from tests.support.running_gateway import running_gateway


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (load, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_way_drives_the_ensemble(
    perf_analyzer: Path, server: TritonServer, repository: Path, results: Path
) -> None:
    questions = load.load_questions(repository, 8)
    with running_gateway(server.grpc_endpoint) as gateway:
        tables = load.measure(
            load.WAYS,
            perf_analyzer,
            server.grpc_endpoint,
            gateway.url,
            questions,
            loads=[0.5],
            seconds=1,
            peak_requests=20,
        )
    text = load.report(tables, repository)
    for way in load.WAYS:
        (row,) = rows_of(results / f"load_{way}.csv")
        assert int(row["answered"]) > 0
        assert 0 < float(row["p50 s"]) <= float(row["p99 s"])
    assert all(f"### {way}" in text for way in load.WAYS)
    assert (results / "load.svg").is_file()


def test_refused_requests_and_missed_deadlines_are_told_apart(
    server: TritonServer, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = load.load_questions(repository, 2)
    settings = {"max_pending_pairs": 5, "max_passages": 5, "max_documents": 5}
    with running_gateway(server.grpc_endpoint, **settings) as gateway:
        row = asyncio.run(load.gateway_row(gateway.url, questions, 400, 0.5))
        assert "refused (429)" in str(row["not answered"])
        assert int(row["answered"]) > 0
        monkeypatch.setattr(load, "DEADLINE_S", 1e-6)
        row = asyncio.run(load.gateway_row(gateway.url, questions, 20, 0.5))
        assert row["answered"] == 0
        row = asyncio.run(load.grpc_row(server.grpc_endpoint, questions, 20, 0.5))
        assert "over deadline" in str(row["not answered"])
    assert ANSWERED not in str(row["not answered"])
