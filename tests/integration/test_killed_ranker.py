import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from packrank_client import RerankClient, ServerFault, ServerUnavailable
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import TritonServer, free_ports
from tests.support.raw_request import ask

QUERY = "why?"
PASSAGES = [" word" * length for length in (5, 200, 900)]


def ranker_stub(server_pid: int) -> int:
    (stub,) = [pid for pid, model in stub_processes(server_pid).items() if model == "ranker"]
    return stub


def test_killing_the_ranker_under_load_hangs_nobody(repository: Path, tmp_path: Path) -> None:
    with TritonServer(repository, ports=free_ports(), log=tmp_path / "log") as server:
        expected = ask(server.grpc_endpoint, QUERY.encode(), [text.encode() for text in PASSAGES])["logits"]
        with RerankClient(server.grpc_endpoint, timeout_s=30) as client, ThreadPoolExecutor(8) as pool:
            under_load = [pool.submit(client.rerank, QUERY, PASSAGES) for _ in range(40)]
            under_load[0].result()
            assert server.failure() is None
            os.kill(ranker_stub(server.process.pid), signal.SIGKILL)
            failures = 0
            for future in under_load:
                try:
                    logits = {result.index: result.logit for result in future.result()}
                    np.testing.assert_allclose([logits[i] for i in range(3)], expected, rtol=0, atol=1e-5)
                except ServerFault:
                    failures += 1
            assert failures, "the kill came too late to be seen"
            assert server.failure() == "the process of model ranker died"


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`make serve`'s command and its gRPC endpoint."""
    ports = free_ports()
    command = [
        *(sys.executable, "-m", "packrank_server.serve", f"--repository={repository}"),
        *(f"--http-port={ports.http}", f"--grpc-port={ports.grpc}", f"--metrics-port={ports.metrics}"),
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield process, f"127.0.0.1:{ports.grpc}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def rerank_patiently(endpoint: str, attempts: int = 600) -> list[int]:
    """Ask until the server answers; each refusal takes a moment, so attempts bound the time."""
    with RerankClient(endpoint, timeout_s=10) as client:
        for _ in range(attempts):
            try:
                return [result.index for result in client.rerank(QUERY, PASSAGES)]
            except (ServerUnavailable, ServerFault):
                signal.sigtimedwait([], 0.1)
    pytest.fail("the server never answered")


def server_of(process: subprocess.Popen[bytes]) -> int:
    (server_pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(server_pid)


def test_serve_comes_back_after_its_ranker_died(served: tuple[subprocess.Popen[bytes], str]) -> None:
    process, endpoint = served
    ranking = rerank_patiently(endpoint)
    first_server = server_of(process)
    killed = ranker_stub(first_server)
    os.kill(killed, signal.SIGKILL)
    for _ in range(600):
        if killed not in stub_processes(first_server):
            break
        signal.sigtimedwait([], 0.1)
    assert rerank_patiently(endpoint) == ranking
    assert server_of(process) != first_server
