"""A real gateway as a process, and one question in the words of each dialect."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from packrank_gateway.dialects.dialect import Dialect

PATHS = {
    Dialect.NIM: "/v1/ranking",
    Dialect.COHERE: "/v2/rerank",
    Dialect.VLLM: "/rerank",
    Dialect.TEI: "/rerank",
}
_LISTENING = re.compile(r"Uvicorn running on (http://\S+)")


@dataclass
class RunningGateway:
    """The process, its address, and its log lines so far."""

    process: subprocess.Popen[str]
    url: str
    http: httpx.Client
    lines: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self,
        dialect: Dialect,
        passages: Sequence[Any] = ("a", "b"),
        query: str = "why?",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Ask one question in a dialect's words; `fields` are added to its body."""
        body = body_of(dialect, passages, query) | fields
        return self.http.post(PATHS[dialect], json=body, headers=headers)

    def memory_mib(self, line: str) -> float:
        """Read VmRSS, the memory of the process now, or VmHWM, its peak (proc(5))."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(entry.split()[1]) for entry in lines if entry.startswith(f"{line}:")) / 1024

    def stop(self) -> int:
        """Send SIGTERM, and wait for the process to end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def body_of(dialect: Dialect, passages: Sequence[Any], query: str = "why?") -> dict[str, Any]:
    """Write the same question as each dialect does."""
    if dialect is Dialect.NIM:
        return {"query": {"text": query}, "passages": [{"text": passage} for passage in passages]}
    name = "texts" if dialect is Dialect.TEI else "documents"
    return {"query": query, name: list(passages)}


def message_of(dialect: Dialect, response: httpx.Response) -> str:
    """Read an error's sentence where the dialect's clients read it."""
    body = response.json()
    if dialect is Dialect.VLLM:
        return str(body["error"]["message"])
    return str(body["error"] if dialect is Dialect.TEI else body["message"])


@contextmanager
def running_gateway(*triton: str, environment: Any = None, **settings: Any) -> Iterator[RunningGateway]:
    """Run a gateway on a free port for the given gRPC addresses; `environment` extends this process's."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "packrank_gateway", "--port=0", f"--triton={','.join(triton)}", *flags]
    environment = os.environ | (environment or {})
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        stderr = process.stderr
        assert stderr is not None
        running = RunningGateway(process, "", httpx.Client())
        for text in stderr:
            listening = _LISTENING.search(text)
            if listening:
                running.url = listening[1]
                break
        assert running.url, "the gateway did not start"

        def follow() -> None:
            for text in stderr:
                # gRPC's library writes other lines, and the end of the process may cut the last one
                if text.startswith("{") and text.endswith("}\n"):
                    running.lines.append(json.loads(text))

        follower = threading.Thread(target=follow)
        follower.start()
        running.http = httpx.Client(base_url=running.url, timeout=60)
        try:
            with running.http:
                yield running
        finally:
            if process.poll() is None:
                process.kill()
            follower.join()
