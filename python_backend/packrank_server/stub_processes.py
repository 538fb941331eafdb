"""The processes that Triton's Python backend runs models in, seen from outside."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_MODEL_FILE = re.compile(rb"/([^/]+)/[0-9]+/model\.py$")


def stub_processes(server_pid: int) -> dict[int, str]:
    """Living stubs of a server that leads its process group: process id -> model name.

    Triton 24.10 neither restarts a stub that died nor reports its model as not ready: every request is answered
    with "Stub process ... is not healthy" from then on. So somebody has to look.
    """
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        # processes end while we look; one that ended but was not waited for has an empty command line
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            models = [match[1] for match in map(_MODEL_FILE.search, command) if match]
            if command[0].endswith(b"stub") and models and os.getpgid(int(process.name)) == server_pid:
                found[int(process.name)] = models[0].decode()
    return found
