"""TensorRT's messages during a build: shown as progress, and read, because it reports some faults only there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# The one engine input that the graph never reads: Triton demands it and makes max_len from it (packed_graph.py).
UNUSED_INPUT = "max_len_carrier"


class EngineError(Exception):
    """The graph cannot become a correct engine; the message says why and what to do."""


class BuildMessages:
    """The messages of one build. `show` receives those worth a line of progress."""

    def __init__(self, show: Callable[[str], None] = lambda _: None) -> None:
        self._show = show
        self._warnings: list[str] = []
        self._errors: list[str] = []
        self._scratch_bytes: int | None = None

    def add(self, severity: str, message: str) -> None:
        """Record one message; `severity` is TensorRT's name for it, e.g. WARNING."""
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
        """Scratch memory of the largest profile. Raises EngineError before TensorRT has reported it."""
        if self._scratch_bytes is None:
            raise EngineError("TensorRT reported no scratch memory for the engine.")
        return self._scratch_bytes

    def reason(self) -> str:
        """Quote the last error: why a call returned nothing."""
        return self._errors[-1] if self._errors else "TensorRT gave no reason"

    def refuse_unused_inputs(self) -> None:
        """Raise EngineError when the engine ignores an input, which TensorRT reports as a mere warning.

        An engine that ignored seq_lens would attend across pairs. One that ignored max_len would compute the longest
        length from values. That makes it a shape tensor, which Triton's batch input cannot set.
        """
        found = [re.search(r"Unused Input: (\S+)", warning) for warning in self._warnings]
        unused = {match[1] for match in found if match}
        if unused - {UNUSED_INPUT}:
            raise EngineError(
                f"TensorRT ignores the inputs {', '.join(sorted(unused - {UNUSED_INPUT}))}: this version's ONNX parser "
                "does not know a node that uses them, so the engine would not compute the graph. Build with the "
                "TensorRT version that docs/gpu.md names."
            )


def trt_logger(trt: Any, messages: BuildMessages) -> Any:
    """Make an ILogger of the TensorRT module `trt` that hands every message to `messages`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            messages.add(severity.name, message)

    return Logger()
