import argparse
import csv
from pathlib import Path

import pytest

from benchmarks import memory, report
from packrank_server.tritonserver import TritonServer
from tests.support.running_gateway import running_gateway


def test_pss_is_read_in_mib() -> None:
    assert (
        memory.pss_mib("5581-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 4096 kB\nPss: 2560 kB\nPss_Dirty: 1 kB\n") == 2.5
    )
    with pytest.raises(ValueError, match="no Pss"):
        memory.pss_mib("Rss: 1 kB\n")


def test_the_slope_is_that_of_the_second_half() -> None:
    requests = [100.0 * step for step in range(1, 9)]
    mib = [1.0, 50.0, 90.0, 99.0, 100.0, 100.2, 100.4, 100.6]
    assert memory.slope_per_1000(requests, mib) == pytest.approx(2.0)


def test_all_states_are_measured(
    server: TritonServer, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (memory, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(memory, "LARGE_EVERY", 20)
    options = argparse.Namespace(repository=repository, requests=80, mixed_requests=4, burst=8)
    with running_gateway(server.grpc_endpoint) as gateway:
        memory.measure(options, server, gateway)
    with (tmp_path / "memory_states.csv").open(newline="") as file:
        states = list(csv.DictReader(file))
    assert len(states) == 6
    assert all(int(state["gateway"]) > 0 and int(state["model ranker"]) > 0 for state in states)
    text = (tmp_path / "memory.md").read_text()
    assert "statuses {200: 80}" in text
    assert "The burst: 8 requests at once" in text
    assert len((tmp_path / "memory_growth.csv").read_text().splitlines()) == 81
