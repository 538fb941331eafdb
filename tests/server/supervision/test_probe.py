"""Busy or hung: real servers, with a short deadline for the question."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.stub_processes import stubs
from packrank_server.supervision import probe as probe_module
from packrank_server.supervision.probe import Probe
from packrank_server.tritonserver import TritonServer


@pytest.fixture
def running(repository: Path, tmp_path: Path) -> Iterator[TritonServer]:
    with TritonServer(repository, ports=free_ports(), log=tmp_path / "log") as server:
        yield server


@pytest.fixture
def probe(running: TritonServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    monkeypatch.setattr(probe_module, "QUESTION_TIMEOUT_S", 1.0)
    asking = Probe(running.grpc_endpoint, running.process.pid)
    yield asking
    asking.close()


@pytest.mark.parametrize("name", ["ranker", "tokenizer", "postprocessor", "tritonserver"])
def test_a_stopped_process_does_not_answer(name: str, running: TritonServer, probe: Probe) -> None:
    assert probe.answers()
    pids = {stub.model: stub.pid for stub in stubs(running.process.pid)} | {"tritonserver": running.process.pid}
    os.kill(pids[name], signal.SIGSTOP)
    try:
        # the first ones may still count answers to earlier questions
        assert [probe.answers() for _ in range(5)][-2:] == [False, False]
    finally:
        running.kill()


def test_a_busy_server_counts_as_one_that_answers(running: TritonServer, probe: Probe) -> None:
    assert probe.answers()
    passages = [" word" * 900] * 30
    with RerankClient(running.grpc_endpoint, timeout_s=300) as client, ThreadPoolExecutor(4) as pool:
        under_way = [pool.submit(client.rerank, "why?", passages) for _ in range(4)]
        looks = []
        while not all(call.done() for call in under_way):
            looks.append(probe.answers())
        assert len(looks) > 2, "the server was too fast for this test"
        assert all(looks)
        assert all(len(call.result()) == len(passages) for call in under_way)
