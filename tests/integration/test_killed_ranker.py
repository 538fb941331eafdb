import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from packrank_client import RerankClient, ServerFault
from packrank_server.ports import free_ports
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import TritonServer
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
