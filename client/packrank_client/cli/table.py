"""A ranking as a table for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from packrank_client.results import RerankResult

# Passages get at least this many columns, even on a narrow terminal.
_MIN_PASSAGE_WIDTH = 20


def ranking_table(results: Sequence[RerankResult], passages: Sequence[str], width: int) -> str:
    """Lay out rank, score, logit, tokens and the start of each passage, in lines of at most `width` columns."""
    lines = [f"{'rank':>4}  {'score':>6}  {'logit':>9}  {'tokens':>6}  "]
    room = max(width - len(lines[0]), _MIN_PASSAGE_WIDTH)
    lines[0] += "passage"
    for rank, result in enumerate(results, start=1):
        numbers = f"{rank:>4}  {result.score:>6.4f}  {result.logit:>9.4f}  {result.token_count:>6}  "
        lines.append(numbers + clipped(passages[result.index], room))
    return "\n".join(lines)


def clipped(text: str, width: int) -> str:
    """Cut a text to at most `width` columns of a terminal, and replace control characters by spaces."""
    shown: list[str] = []
    used = fits = 0
    for character in text.strip():
        printable = character if character.isprintable() else " "
        used += display_width(printable)
        if used > width:
            return "".join(shown[:fits]).rstrip() + "…"
        shown.append(printable)
        if used < width:  # there is room for an ellipsis after it
            fits = len(shown)
    return "".join(shown)


def display_width(character: str) -> int:
    """Return how many columns a printable character takes: 2 for East Asian or emoji, 0 for combining marks."""
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
