"""Progress of a batch, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_BAR_WIDTH = 24
# A bar on a terminal may move often; a log should stay short.
_TERMINAL_INTERVAL_S = 0.1
_LOG_INTERVAL_S = 10.0


class Progress:
    """Shows a bar on a terminal, or a line every ten seconds in a log.

    `total_bytes` is the length of the input; None if unknown, as for a pipe.
    """

    def __init__(self, stream: TextIO, total_bytes: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._total_bytes = total_bytes
        self._clock = clock
        self._interval_s = _TERMINAL_INTERVAL_S if self._on_terminal else _LOG_INTERVAL_S
        self._shown_at_s = clock()
        self._done_bytes = 0
        self.lines = 0
        self.failed = 0

    def advance(self, line_bytes: int, *, failed: bool) -> None:
        """Count one input line as done."""
        self._done_bytes += line_bytes
        self.lines += 1
        self.failed += failed
        now_s = self._clock()
        if now_s - self._shown_at_s >= self._interval_s:
            self._shown_at_s = now_s
            self._show()

    def close(self) -> None:
        """Clear the bar from the terminal."""
        if self._on_terminal:
            self._write("\r\x1b[K")

    def _show(self) -> None:
        counts = f"{self.lines} lines, {self.failed} failed"
        if self._total_bytes:
            share = min(self._done_bytes / self._total_bytes, 1.0)
            bar = "#" * round(share * _BAR_WIDTH)
            counts = f"[{bar:<{_BAR_WIDTH}}] {share:4.0%}  {counts}"
        self._write(f"\r\x1b[K{counts}" if self._on_terminal else f"rerank: {counts}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
