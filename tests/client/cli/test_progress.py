from __future__ import annotations

from io import StringIO

from packrank_client.cli.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bar_on_a_terminal_that_goes_away() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, 200, clock=clock)
    progress.advance(50, failed=False)
    assert stream.getvalue() == ""
    clock.now_s = 0.2
    progress.advance(50, failed=True)
    assert stream.getvalue() == "\r\x1b[K[############            ]  50%  2 lines, 1 failed"
    progress.close()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_now_and_then_a_line_in_a_log() -> None:
    stream, clock = StringIO(), Clock()
    progress = Progress(stream, None, clock=clock)
    for _ in range(25):
        clock.now_s += 1
        progress.advance(10, failed=False)
    progress.close()
    assert stream.getvalue() == "rerank: 10 lines, 0 failed\nrerank: 20 lines, 0 failed\n"
