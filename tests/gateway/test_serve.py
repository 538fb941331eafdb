"""`make serve`'s command: both processes, restarted when they die or hang, and nothing left of either."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import httpx
import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_server.ports import Ports, free_ports
from packrank_server.stub_processes import Stub, stubs
from packrank_server.supervision.shared_memory import SHARED_MEMORY
from tests.support.eventually import eventually
from tests.support.otlp_receiver import otlp_receiver
from tests.support.repository import copied_repository
from tests.support.running_gateway import PATHS, body_of

pytestmark = pytest.mark.slow

PASSAGES = [" word" * length for length in (5, 50, 200)]
EVERY_INTERFACE, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104
# the span of the gateway's call
MODEL_INFER = "inference.GRPCInferenceService/ModelInfer"


class Served:
    """The command, and where the gateway listens."""

    def __init__(self, repository: Path, log: Path, *, flags: Sequence[str] = (), **environment: str) -> None:
        self.ports, self.port, self._log = free_ports(), free_ports().http, log
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            *(sys.executable, "-m", "packrank_gateway.serve", f"--repository={repository}", f"--port={self.port}"),
            *(f"--http-port={self.ports.http}", f"--grpc-port={self.ports.grpc}"),
            f"--metrics-port={self.ports.metrics}",
            *flags,
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
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    def gateway(self) -> int:
        (pid,) = [pid for pid in self.children() if b"packrank_gateway" in command_of(pid)]
        return pid

    def tritonserver(self) -> int:
        (pid,) = [pid for pid in self.children() if b"packrank_gateway" not in command_of(pid)]
        return pid

    def ask(self) -> list[int]:
        """The ranking of one question. Raises httpx.HTTPError if there is none."""
        answer = httpx.post(self.url + PATHS[Dialect.NIM], json=body_of(Dialect.NIM, PASSAGES), timeout=30)
        return [rank["index"] for rank in answer.raise_for_status().json()["rankings"]]

    def metric(self, start: str) -> float:
        return metric(httpx.get(f"{self.url}/metrics").text.splitlines(), start)

    def wait_for_ranking(self) -> list[int]:
        def ask() -> list[int] | None:
            try:
                return self.ask()
            except httpx.HTTPError:
                return None

        return eventually(ask, "the service answers again")

    def wait_for_log(self, words: str, attempts: int = 1200) -> None:
        for _ in range(attempts):
            if words in self.log():
                return
            signal.sigtimedwait([], 0.1)
        pytest.fail(f"never logged {words!r}: {self.log()}")

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self.process.poll() is None:
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


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def assert_nothing_left(ports: Ports, port: int, pids: list[int]) -> None:
    assert all(map(is_free, (ports.http, ports.grpc, ports.metrics, port)))
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def regions_left(running: list[Stub]) -> list[str]:
    return [stub.region for stub in running if (SHARED_MEMORY / stub.region.lstrip("/")).exists()]


def test_sigterm_loses_no_request_under_way(served: Served) -> None:
    served.wait_until_ready()
    children = served.children()
    assert len(children) == 2
    passages, requests = 20, 12
    content = json.dumps(body_of(Dialect.COHERE, [" word" * 400 + f" {place}" for place in range(passages)])).encode()
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


def test_whichever_process_is_killed_under_load_comes_back(served: Served) -> None:
    served.wait_until_ready()
    expected = served.ask()
    running = list(stubs(served.tritonserver()))
    outcomes: list[str] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            try:
                outcomes.append("answered" if served.ask() == expected else "another ranking")
            except httpx.HTTPStatusError as error:
                outcomes.append(f"status {error.response.status_code}")
            except httpx.TransportError as error:
                outcomes.append(type(error).__name__)

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(load) for _ in range(4)]
        for victim in ("gateway", "tritonserver", "tokenizer", "ranker", "postprocessor"):
            server = served.tritonserver()
            pids = {stub.model: stub.pid for stub in stubs(server)}
            pids |= {"gateway": served.gateway(), "tritonserver": server}
            os.kill(pids[victim], signal.SIGKILL)
            eventually(is_gone(served, pids[victim]), f"{victim} is gone")
            assert served.wait_for_ranking() == expected, victim
            running += stubs(served.tritonserver())
        done.set()
        for caller in callers:
            caller.result()
    assert "answered" in outcomes
    assert set(outcomes) <= {"answered", "status 502", "status 503", *LOST}, set(outcomes)
    served.stop()
    assert not regions_left(running)


# what a caller sees whose gateway was killed
LOST = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}


def is_gone(served: Served, *pids: int) -> Callable[[], bool | None]:
    def look() -> bool | None:
        children = served.children()
        living = {*children, *(stub.pid for child in children for stub in stubs(child))}
        return not living & set(pids) or None

    return look


def test_whichever_process_hangs_is_replaced(served: Served) -> None:
    served.wait_until_ready()
    expected = served.ask()
    server, gateway = served.tritonserver(), served.gateway()
    (ranker,) = [stub.pid for stub in stubs(server) if stub.model == "ranker"]
    for pid in (ranker, gateway):
        os.kill(pid, signal.SIGSTOP)
    eventually(is_gone(served, ranker, gateway), "both are gone", attempts=12_000)
    assert served.wait_for_ranking() == expected
    assert served.tritonserver() != server
    assert served.gateway() != gateway
    assert served.log().count("it hangs: 3 questions in a row got no answer") == 2


def test_killing_the_parent_under_load_leaves_nothing(served: Served) -> None:
    served.wait_until_ready()
    running = list(stubs(served.tritonserver()))
    pids = [*served.children(), *(stub.pid for stub in running)]
    assert len(pids) == 2 + len(running) >= 5
    body = json.dumps(body_of(Dialect.COHERE, [f"{number}" + " word" * 400 for number in range(40)])).encode()
    head = (
        f"POST {PATHS[Dialect.COHERE]} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as caller:
        caller.sendall(head + body)
        eventually(lambda: served.metric("packrank_pending_pairs ") or None, "the request is under way")
        served.process.kill()
        served.process.wait()
        with suppress(ConnectionError):
            assert caller.makefile("rb").read() == b"", "its connection ends"
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids) or None, "all processes have ended")
    assert_nothing_left(served.ports, served.port, pids)
    assert not regions_left(running)


@pytest.mark.parametrize("ready", [False, True], ids=["while it starts", "while it serves"])
def test_any_number_of_signals_at_once_stops_it(ready: bool, served: Served) -> None:
    if ready:
        served.wait_until_ready()
    else:
        served.wait_for_log("the gateway listens")
    for _ in range(200):
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGINT)
    assert served.process.wait(90) == 0, served.log()
    assert "Traceback" not in served.log()


def test_publishing_the_gateway_leaves_triton_on_loopback(repository: Path, tmp_path: Path) -> None:
    served = Served(repository, tmp_path / "log", flags=[f"--host={EVERY_INTERFACE}"])
    try:
        served.wait_until_ready()
        listening = {address for pid in served.children() for address in listening_addresses(pid)}
    finally:
        served.stop()
    assert listening == {(EVERY_INTERFACE, served.port), *((LOOPBACK, port) for port in vars(served.ports).values())}


def test_triton_host_publishes_triton(repository: Path, tmp_path: Path) -> None:
    served = Served(repository, tmp_path / "log", TRITON_HOST=EVERY_INTERFACE)
    try:
        served.wait_until_ready()
        listening = {address for pid in served.children() for address in listening_addresses(pid)}
    finally:
        served.stop()
    assert listening == {(LOOPBACK, served.port), *((EVERY_INTERFACE, port) for port in vars(served.ports).values())}


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """Addresses and ports that a process listens on (proc(5), net/tcp). gRPC uses IPv6 sockets for IPv4 addresses."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(descriptor.readlink()))
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                # words of four bytes, each in the machine's order
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                host = ip_address(b"".join(words))
                mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
                found.add((EVERY_INTERFACE if host.is_unspecified else str(mapped or host), int(port, 16)))
    return found


def test_a_gateway_that_cannot_start_stops_all_and_says_so(repository: Path, tmp_path: Path) -> None:
    keys = tmp_path / "missing"
    served = Served(repository, tmp_path / "log", PACKRANK_API_KEYS_FILE=str(keys))
    assert served.process.wait(60) == 1
    assert "the gateway ended with code 2; its messages are above" in served.log()
    assert all(map(is_free, vars(served.ports).values()))


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
