import os
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks.processes import cpu_seconds, memory_mib, pss_mib, running_gateway, running_http_server
from packrank_server.errors import ServerStartError
from packrank_server.tritonserver import TritonServer


def test_the_processor_time_of_this_process() -> None:
    while time.process_time() < 0.5:
        pass
    assert cpu_seconds(Path("/proc/self/stat").read_text()) == pytest.approx(time.process_time(), abs=0.2)


def test_a_command_with_spaces_and_brackets_does_not_confuse_it() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = f"1 (a ) b) S {' '.join(['0'] * 10)} {2 * tick} {3 * tick} 0"
    assert cpu_seconds(stat) == 5.0


def test_pss_is_read_in_mib() -> None:
    assert pss_mib("5581-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 4096 kB\nPss: 2560 kB\nPss_Dirty: 1 kB\n") == 2.5
    with pytest.raises(ValueError, match="no line Pss"):
        pss_mib("Rss: 1 kB\n")


def test_a_gateway_starts_answers_and_stops(server: TritonServer) -> None:
    with running_gateway(server.grpc_endpoint, max_passages=5) as gateway:
        with urllib.request.urlopen(f"{gateway.url}/v1/health/ready", timeout=10) as response:  # noqa: S310
            assert response.status == 200
        memory = memory_mib(server.process.pid, gateway.pid)
    assert memory["gateway"] > 0
    assert memory["model ranker"] > 0
    assert not Path(f"/proc/{gateway.pid}").exists()


def test_a_server_that_ends_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ServerStartError, match=str(log)):
        with running_http_server([sys.executable, "-c", "print('broken')"], "http://127.0.0.1:9/health", log):
            pass
    assert log.read_text() == "broken\n"
