import os
import time
from pathlib import Path

import pytest

from benchmarks.cpu_time import cpu_seconds, server_cpu_seconds
from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer


def test_the_processor_time_of_this_process() -> None:
    while time.process_time() < 0.5:
        pass
    assert cpu_seconds(Path("/proc/self/stat").read_text()) == pytest.approx(time.process_time(), abs=0.2)


def test_a_command_with_spaces_and_brackets_does_not_confuse_it() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = f"1 (a ) b) S {' '.join(['0'] * 10)} {2 * tick} {3 * tick} 0"
    assert cpu_seconds(stat) == 5.0


def test_a_server_that_works_takes_time(server: TritonServer, client: RerankClient) -> None:
    before = server_cpu_seconds(server.process.pid)
    client.rerank("why?", ["word " * 300] * 40, truncate="END")
    assert server_cpu_seconds(server.process.pid) > before
