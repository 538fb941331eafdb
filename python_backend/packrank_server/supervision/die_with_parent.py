"""Run a command that the kernel kills when its parent ends, even by SIGKILL.

Run as a program, with the standard library only: `die_with_parent.py <parent's pid> <command> <argument>...`
"""

from __future__ import annotations

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
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"die_with_parent: prctl: {os.strerror(ctypes.get_errno())}")
    # it may have ended before prctl
    if os.getppid() != parent:
        sys.exit("die_with_parent: the parent has ended.")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
