from __future__ import annotations

from pathlib import Path

from benchmarks.package_sets import first_characters, manual_page, shuffled, write_set
from packrank_client.evaluation.dataset import read_dataset

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
