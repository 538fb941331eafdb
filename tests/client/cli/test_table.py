from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_client.cli.table import clipped, display_width, ranking_table
from packrank_client.results import RerankResult


def columns(text: str) -> int:
    return sum(display_width(character) for character in text)


@given(st.text(max_size=60), st.integers(2, 40))
def test_a_clipped_text_fits(text: str, width: int) -> None:
    shown = clipped(text, width)
    assert columns(shown) <= width
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("exactly ten", "exactly t…"),
        ("1234567890", "1234567890"),
        ("日本語の文章", "日本語の…"),
        ("日本語の文", "日本語の文"),
        (unicodedata.normalize("NFD", "é" * 10), unicodedata.normalize("NFD", "é" * 10)),
        ("a\tb\x1b[2Jc\nd", "a b [2Jc d"),
        ("  edge  ", "edge"),
    ],
)
def test_the_beginning_of_a_passage_in_ten_columns(text: str, shown: str) -> None:
    assert clipped(text, 10) == shown


def test_table() -> None:
    results = [RerankResult(1, 2.5, 0.9241418, 12), RerankResult(0, -20.0, 2e-9, 8192)]
    assert ranking_table(results, ["second " * 20, "best"], 60).splitlines() == [
        "rank   score      logit  tokens  passage",
        "   1  0.9241     2.5000      12  best",
        "   2  0.0000   -20.0000    8192  second second second secon…",
    ]
