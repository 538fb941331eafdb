"""`make serve`'s command: both processes, and nothing left of either."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_server.tritonserver import Ports, free_ports
from tests.support.eventually import eventually
from tests.support.otlp_receiver import otlp_receiver
from tests.support.repository import copied_repository
from tests.support.running_gateway import PATHS, body_of

# the span of the gateway's call
MODEL_INFER = "inference.GRPCInferenceService/ModelInfer"


class Served:
    """The command, and where the gateway listens."""

    def __init__(self, repository: Path, log: Path, **environment: str) -> None:
        self.ports, self.port, self._log = free_ports(), free_ports().http, log
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            *(sys.executable, "-m", "packrank_gateway.serve", f"--repository={repository}", f"--port={self.port}"),
            *(f"--http-port={self.ports.http}", f"--grpc-port={self.ports.grpc}"),
            f"--metrics-port={self.ports.metrics}",
        ]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | environment)

    def wait_until_ready(self) -> None:
        def look() -> bool | None:
            assert self.process.poll() is None, self.log()
            try:
                return httpx.get(f"{self.url}/v1/health/ready", timeout=30).status_code == 200 or None
            except httpx.TransportError:
                return None

        eventually(look, "the server is ready")

    def children(self) -> list[int]:
        """Process ids: tritonserver's and the gateway's."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def wait_for_log(self, words: str, attempts: int = 1200) -> None:
        for _ in range(attempts):
            if words in self.log():
                return
            signal.sigtimedwait([], 0.1)
        pytest.fail(f"never logged {words!r}: {self.log()}")

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)


@contextmanager
def serving(repository: Path, log: Path) -> Iterator[Served]:
    running = Served(repository, log)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(repository, tmp_path / "log") as running:
        yield running


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def assert_nothing_left(ports: Ports, port: int, pids: list[int]) -> None:
    assert all(map(is_free, (ports.http, ports.grpc, ports.metrics, port)))
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_sigterm_loses_no_request_under_way(served: Served) -> None:
    served.wait_until_ready()
    children = served.children()
    assert len(children) == 2
    passages, requests = 20, 12
    content = json.dumps(body_of(Dialect.COHERE, [" word" * 400] * passages)).encode()
    head = (
        f"POST {PATHS[Dialect.COHERE]} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        "x-request-timeout-s: 300\r\n"
    )
    request = head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content
    with ExitStack() as connections:
        sent = []
        for _ in range(requests):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.sendall(request)
            sent.append(connection)
        with httpx.Client(base_url=served.url) as http:
            pending, scored = 0.0, 0.0
            while pending + scored < passages * requests:  # until every request has arrived
                lines = http.get("/metrics").text.splitlines()
                pending, scored = metric(lines, "packrank_pending_pairs "), metric(lines, "packrank_pairs_total{")
        assert pending, "the server was too fast for this test"
        served.process.send_signal(signal.SIGTERM)
        answers = [connection.makefile("rb").read() for connection in sent]
    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * requests
    assert all(len(json.loads(answer.partition(b"\r\n\r\n")[2])["results"]) == passages for answer in answers)
    assert served.process.wait(60) == 0, served.log()
    assert_nothing_left(served.ports, served.port, children)


def test_sigterm_ends_a_start_that_takes_minutes(repository: Path, tmp_path: Path) -> None:
    slow = copied_repository(repository, tmp_path / "slow")
    model = slow / "ranker" / "1" / "model.py"
    model.write_text(f"import time; time.sleep(120)\n{model.read_text()}")
    with serving(slow, tmp_path / "log") as served:
        served.wait_for_log("loading: ranker:1")
        children = served.children()
        assert len(children) == 2
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0, served.log()
    assert "Traceback" not in served.log()
    assert_nothing_left(served.ports, served.port, children)


def metric(lines: list[str], start: str) -> float:
    return sum(float(line.split()[1]) for line in lines if line.startswith(start))


def test_when_the_gateway_dies_all_stops_and_says_so(served: Served) -> None:
    served.wait_until_ready()
    children = served.children()
    (gateway,) = [pid for pid in children if b"packrank_gateway" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    subprocess.run(["kill", "-KILL", str(gateway)], check=True)
    assert served.process.wait(60) == 1
    assert "the gateway ended with code -9" in served.log()
    assert_nothing_left(served.ports, served.port, children)


def test_with_an_endpoint_for_traces_tritons_spans_join_the_gateways(repository: Path, tmp_path: Path) -> None:
    steps = {"tokenizer", "ranker", "postprocessor"}
    with otlp_receiver() as receiver:
        served = Served(repository, tmp_path / "log", **receiver.environment)
        try:
            served.wait_until_ready()  # by inferences that nobody traces
            body = body_of(Dialect.NIM, ["a private text"], "a private text")
            assert httpx.post(served.url + PATHS[Dialect.NIM], json=body).status_code == 200
            found = receiver.wait_for("POST /v1/ranking", MODEL_INFER, "InferRequest", "reranker", *steps)
        finally:
            served.stop()
    assert {span.trace for span in receiver.spans} == {found["POST /v1/ranking"].trace}
    assert found["InferRequest"].parent == found[MODEL_INFER].id
    assert found["reranker"].parent == found["InferRequest"].id
    assert {found[step].parent for step in steps} == {found["reranker"].id}
    assert {found[step].service for step in steps} == {"triton-inference-server"}
    assert b"private" not in b"".join(receiver.bodies)


def test_a_taken_port_is_named_with_the_remedy(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "packrank_gateway.serve", f"--repository={repository}", f"--port={port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"GATEWAY_PORT={port + 1000}" in done.stderr


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "packrank_gateway.serve", f"--repository={tmp_path}", "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Run `make model`" in done.stderr
