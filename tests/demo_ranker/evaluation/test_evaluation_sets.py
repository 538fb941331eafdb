from __future__ import annotations

from pathlib import Path

import pytest

from packrank_client.evaluation.dataset import read_dataset
from packrank_training.evaluation.evaluation_sets import (
    ARTICLES,
    ARTICLES_ASKED,
    DECLARATIONS,
    declaration,
    first_characters,
    manual_page,
    shuffled,
    write_declaration,
    write_set,
)

ROFF = r""".\" a comment
.TH CAT 1
.SH NAME
cat \- concatenate \fBfiles\fP
.SH DESCRIPTION
.B cat
writes files\-one after the other.
.PP
See
.BR tac (1).
"""


def test_a_manual_page_loses_its_description_and_its_requests() -> None:
    assert manual_page(ROFF) == ("concatenate files", "DESCRIPTION cat writes files-one after the other. See tac (1).")
    assert manual_page(".so man1/cat.1\n") is None


def test_a_beginning_ends_between_words_where_there_are_some() -> None:
    assert first_characters("one two three", 9) == "one two"
    assert first_characters("one", 9) == "one"
    assert first_characters("設定ファイルはどこですか", 5) == "設定ファイ"


def test_the_order_of_a_corpus_says_nothing_and_is_always_the_same() -> None:
    corpus = {str(number): str(number) for number in range(20)}
    assert list(shuffled(corpus)) == list(shuffled(dict(reversed(corpus.items())))) != list(corpus)


def test_what_is_written_is_what_the_evaluation_reads(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"q": "what?"}, {"a": "this", "b": "それ"}, {"q": ["b"]}, {"q": "ja"})
    dataset = read_dataset(tmp_path / "set")
    assert (dataset.queries, dataset.corpus) == ({"q": "what?"}, {"a": "this", "b": "それ"})
    assert (dataset.qrels, dataset.languages) == ({"q": {"b": 1}}, {"q": "ja"})


def write_articles(directory: Path, file: str, articles: int = ARTICLES) -> None:
    parts = [
        f'<article data-number="{number}">\n<h2>Article</h2>\n<p>All &amp; {file}</p>\n<p>{number}</p></article>'
        for number in range(1, articles + 1)
    ]
    directory.mkdir(exist_ok=True)
    (directory / f"{file}.html").write_text("<header><h2>Preamble</h2></header>" + "\n".join(parts), encoding="utf-8")


def test_an_article_is_sought_among_all_of_the_other_language(tmp_path: Path) -> None:
    for file in ("eng", *DECLARATIONS.values()):
        write_articles(tmp_path / "declaration", file)
    write_declaration(tmp_path, tmp_path / "set")
    dataset = read_dataset(tmp_path / "set")
    assert len(dataset.queries) == len(DECLARATIONS) * ARTICLES_ASKED
    assert len(dataset.corpus) == (len(DECLARATIONS) + 1) * ARTICLES
    assert set(dataset.languages.values()) == DECLARATIONS.keys()
    directions = set()
    for query, text in dataset.queries.items():
        asked, number, _, found = query.split("-")
        directions.add(asked == "en")
        assert {asked, found} == {"en", dataset.languages[query]}
        assert text == dataset.corpus[f"{asked}-{number}"]
        assert dataset.qrels[query] == {f"{found}-{number}": 1}
        assert sorted(dataset.candidates[query]) == sorted(f"{found}-{each}" for each in range(1, ARTICLES + 1))
    assert directions == {True, False}


def test_articles_lose_their_heading_and_their_markup(tmp_path: Path) -> None:
    write_articles(tmp_path, "fin")
    assert declaration(tmp_path / "fin.html")[2] == "All & fin 2"


def test_a_declaration_with_other_articles_is_refused(tmp_path: Path) -> None:
    write_articles(tmp_path, "fin", articles=29)
    with pytest.raises(ValueError, match="fin.html must have the 30 articles"):
        declaration(tmp_path / "fin.html")
