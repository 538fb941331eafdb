"""Run a command that the kernel kills when its parent ends, even by SIGKILL.

Run as a program, with the standard library only: `die_with_parent.py <parent's pid> <command> <argument>...`
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Wrap a command for subprocess.Popen; the process keeps its id.

    The kernel watches the *thread* that starts it, so start it from one that outlives it. A program of its own, because
    subprocess's `preexec_fn` may deadlock in a program with threads.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    signal_on_parent_death(signal.SIGKILL)
    # it may have ended before prctl
    if os.getppid() != parent:
        sys.exit("die_with_parent: the parent has ended.")
    if os.getpgrp() == os.getpid():
        guard_process_group()
    os.execvp(command[0], command)  # noqa: S606


def signal_on_parent_death(number: int) -> None:
    """Have the kernel send this process a signal once its parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.exit(f"die_with_parent: prctl: {os.strerror(ctypes.get_errno())}")


def guard_process_group() -> None:
    """Fork a process that kills the whole group once the command has ended: a model process first ends its run."""
    leader = os.getpid()
    if os.fork():
        return
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal_on_parent_death(signal.SIGTERM)
    if os.getppid() == leader:
        signal.sigwait([signal.SIGTERM])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
