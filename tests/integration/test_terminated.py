import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys
from pathlib import Path
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

with TritonServer(Path(sys.argv[1]), ports=free_ports(), log=Path(sys.argv[2])) as server:
    print(server.process.pid, flush=True)
    signal.pause()
"""


def test_a_program_that_is_terminated_takes_its_server_with_it(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(repository), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        server_pid = int(program.stdout.readline())
        program.send_signal(signal.SIGTERM)
        assert program.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(server_pid, 0)
