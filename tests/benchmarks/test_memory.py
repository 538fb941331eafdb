import argparse
from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.bare_ranker import published_tokenizer
from benchmarks.processes import running_gateway
from packrank_server.tritonserver import TritonServer


def test_the_slope_is_that_of_the_second_half() -> None:
    requests = [100.0 * step for step in range(1, 9)]
    mib = [1.0, 50.0, 90.0, 99.0, 100.0, 100.2, 100.4, 100.6]
    assert memory.slope_per_1000(requests, mib) == pytest.approx(2.0)


def test_all_states_are_measured(server: TritonServer, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGE_EVERY", 20)
    options = argparse.Namespace(requests=80, mixed_requests=4, burst=8)
    with running_gateway(server.grpc_endpoint) as gateway:
        states, (growth, burst) = memory.measure(options, published_tokenizer(repository), server, gateway)
    assert [state["state"] for state in states] == [
        "started",
        "highest under mixed load",
        "idle after it",
        "idle after 80 requests more",
        "highest in the burst",
        "idle after the burst",
    ]
    assert all(float(state["gateway"]) > 0 and float(state["model ranker"]) > 0 for state in states)
    assert "80 requests: {'answered': 80}" in growth
    assert "Burst: 8 requests at once" in burst
