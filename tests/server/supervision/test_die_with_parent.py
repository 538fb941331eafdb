import subprocess
import sys
from pathlib import Path

from packrank_server.supervision import die_with_parent
from packrank_server.supervision.die_with_parent import dying_with_parent
from tests.support.eventually import eventually

PARENT = """
import signal, subprocess, sys
from packrank_server.supervision.die_with_parent import dying_with_parent

child = subprocess.Popen(dying_with_parent(["sleep", "600"]), start_new_session=True)
print(child.pid, flush=True)
signal.pause()
"""


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_parent_takes_its_child_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        eventually(lambda: command_of(child).startswith(b"sleep") or None, "the child runs")
        parent.kill()
    eventually(lambda: not command_of(child) or None, "the child has ended")


def test_the_command_keeps_the_process_id_and_its_exit_code() -> None:
    done = subprocess.run(
        dying_with_parent(["sh", "-c", "exit 7"]), start_new_session=True, check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (7, b"")
    with subprocess.Popen(dying_with_parent(["sh", "-c", "echo $$"]), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid


def test_a_parent_that_has_ended_already_is_noticed() -> None:
    command = [sys.executable, die_with_parent.__file__, "1", "echo", "started"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the parent has ended" in done.stderr
    assert not done.stdout


def test_what_the_command_started_ends_with_it() -> None:
    command = ["sh", "-c", "sleep 600 & echo $!; exec sleep 600"]
    with subprocess.Popen(
        dying_with_parent(command), start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        process.kill()
    eventually(lambda: not command_of(grandchild) or None, "the grandchild has ended")
