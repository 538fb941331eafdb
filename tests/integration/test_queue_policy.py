"""The engines' queue policy, on the CPU ranker: requests that wait too long get an answer, and nothing hangs."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tritonclient.utils import InferenceServerException

from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import ask

POLICY = "default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 1 }"


def test_requests_that_wait_too_long_are_refused_and_the_server_goes_on(repository: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(repository, tmp_path / "model_repository"))
    config = copy / "ranker" / "configs" / "cpu.pbtxt"
    config.write_text(config.read_text().replace("dynamic_batching {", f"dynamic_batching {{ {POLICY}", 1))
    with TritonServer(copy, ports=free_ports(), log=tmp_path / "log") as server:

        def outcome(_: int) -> str:
            try:
                ask(server.grpc_endpoint, b"why?", [b" word" * 900] * 12)
            except InferenceServerException as error:
                return f"{error.status()} {error.message()}"
            return "scored"

        with ThreadPoolExecutor(16) as pool:
            outcomes = set(pool.map(outcome, range(32)))
    expired = "StatusCode.UNAVAILABLE in ensemble 'reranker', Request timeout expired"
    assert expired in outcomes
    assert outcomes <= {expired, "scored"}
