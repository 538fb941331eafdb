import csv
from functools import partial
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.bare_ranker import bare_ranker, published_tokenizer, ranker_parameters
from benchmarks.errors import BenchmarkError
from benchmarks.processes import running_gateway
from benchmarks.serving import __main__ as serving
from benchmarks.serving.clients import over_grpc, through_gateway
from packrank_build.progress import Progress
from packrank_server.tritonserver import TritonServer


def test_both_clients_are_measured_in_both_loops(
    server: TritonServer, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(serving, "REPOSITORY", repository)
    monkeypatch.setattr(serving, "LOADS", (0.5,))
    parameters = ranker_parameters(server.grpc_endpoint)
    tokenizer = published_tokenizer(repository)
    with running_gateway(server.grpc_endpoint) as gateway:
        clients: dict[str, serving.Client] = {
            "gRPC": partial(over_grpc, server.grpc_endpoint, 60.0),
            "gateway": partial(through_gateway, gateway.url, 60.0),
        }
        ranker = bare_ranker(repository, parameters)
        closed = serving.closed_rows(clients, ranker, tokenizer, parameters, requests=3, alone=2, rounds=1)
        questions = serving.small_questions(tokenizer, 8)
        opened = serving.open_rows(clients, questions, 20.0, 1, Progress())
    assert [row[""] for row in closed] == ["bare ranker", "gRPC", "gateway"]
    assert (closed[0]["added, ms"], closed[0]["× bare ranker"]) == (0, 1)
    assert all(float(row["16 at a time, tokens/s"]) > 0 for row in closed)
    assert [(row[""], row["load"]) for row in opened] == [("gRPC", 0.5), ("gateway", 0.5)]
    serving.write_report(closed, opened, peak=20.0, gateway_ms=2.0)
    with (tmp_path / "serving_open.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(int(row["answered"]) > 0 and 0 < float(row["p50 s"]) <= float(row["p99 s"]) for row in rows)
    assert "The gateway takes 2.0 ms" in (tmp_path / "serving.md").read_text()
    assert (tmp_path / "serving.svg").is_file()


def test_a_closed_loop_with_failures_is_no_measurement(server: TritonServer, repository: Path) -> None:
    hopeless = partial(over_grpc, server.grpc_endpoint, 1e-6)
    with pytest.raises(BenchmarkError, match="had failures: {'over deadline': 1}"):
        serving.seconds_of(hopeless, [serving.ALONE], 1)
