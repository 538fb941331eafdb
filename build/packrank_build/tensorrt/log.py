"""What TensorRT says while it builds: shown as progress, and read, because some faults are only said there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# The one engine input that the graph does not use: Triton demands it and makes max_len from it (packed_graph.py).
UNUSED_INPUT = "longest"


class EngineError(Exception):
    """The graph cannot become an engine that serves it right; the message says why and what to do."""


class BuildMessages:
    """The messages of one build. `show` receives those worth a line of progress."""

    def __init__(self, show: Callable[[str], None] = lambda _: None) -> None:
        self._show = show
        self._warnings: list[str] = []
        self._errors: list[str] = []
        self._scratch_bytes: int | None = None

    def add(self, severity: str, message: str) -> None:
        """Take one message; `severity` is TensorRT's name of it, e.g. WARNING."""
        if severity == "WARNING":
            self._warnings.append(message)
        elif severity in ("ERROR", "INTERNAL_ERROR"):
            self._errors.append(message)
            self._show(f"TensorRT: {message}")
        scratch = re.search(r"Max Scratch Memory: (\d+) bytes", message)
        if scratch:
            self._scratch_bytes = int(scratch[1])

    @property
    def scratch_bytes(self) -> int:
        """Scratch memory of the largest profile."""
        if self._scratch_bytes is None:
            raise EngineError("TensorRT did not say how much scratch memory the engine needs.")
        return self._scratch_bytes

    def reason(self) -> str:
        """Why a call returned nothing: the last error."""
        return self._errors[-1] if self._errors else "TensorRT gave no reason"

    def refuse_unused_inputs(self) -> None:
        """Raise EngineError when the engine ignores an input.

        That a whole input is dropped is a warning to TensorRT. An engine that ignored seq_lens would attend across
        pairs; one that ignored max_len would have computed the longest length from values, which makes it a shape
        tensor: Triton's batch input could then not set it.
        """
        found = [re.search(r"Unused Input: (\S+)", warning) for warning in self._warnings]
        unused = {match[1] for match in found if match}
        if unused - {UNUSED_INPUT}:
            raise EngineError(
                f"TensorRT ignores the inputs {', '.join(sorted(unused - {UNUSED_INPUT}))}: the engine would compute "
                "something else than the graph. This version's ONNX parser does not know a node that uses them; build "
                "with the TensorRT version that docs/gpu.md names."
            )


def trt_logger(trt: Any, messages: BuildMessages) -> Any:
    """An ILogger of the TensorRT module `trt` that hands every message to `messages`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            messages.add(severity.name, message)

    return Logger()
