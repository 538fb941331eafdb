from __future__ import annotations

import sys
from collections.abc import Iterator

import ir_datasets
import pytest
from ir_datasets.datasets.beir import BeirTitleDoc
from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericQuery, TrecQrel

from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.ir_datasets_catalogue import read_catalogued


class Docs(BaseDocs):  # type: ignore[misc]
    def docs_iter(self) -> Iterator[BeirTitleDoc]:
        yield BeirTitleDoc("d1", "is protein.", "Whey")
        yield BeirTitleDoc("d2", "Lima is a city.", "")


class Queries(BaseQueries):  # type: ignore[misc]
    def queries_iter(self) -> Iterator[GenericQuery]:
        yield GenericQuery("q1", "what is whey?")
        yield GenericQuery("q2", "judged, nothing relevant")
        yield GenericQuery("q3", "unjudged")


class Qrels(BaseQrels):  # type: ignore[misc]
    def qrels_iter(self) -> Iterator[TrecQrel]:
        yield TrecQrel("q1", "d1", 2, "0")
        yield TrecQrel("q1", "d2", 0, "0")
        yield TrecQrel("q2", "d2", 0, "0")


class Unreachable(Docs):
    def docs_iter(self) -> Iterator[BeirTitleDoc]:
        raise ConnectionError("no route to the mirror")


@pytest.fixture(autouse=True, scope="module")
def catalogue() -> None:
    """Add three sets to the catalogue."""
    ir_datasets.registry.register("packrank/test", ir_datasets.Dataset(Docs(), Queries(), Qrels()))
    ir_datasets.registry.register("packrank", ir_datasets.Dataset(Docs()))
    ir_datasets.registry.register("packrank/away", ir_datasets.Dataset(Unreachable(), Queries(), Qrels()))


def quiet(_: str) -> None:
    pass


def test_a_catalogued_set_is_read_like_a_folder() -> None:
    dataset = read_catalogued("packrank/test", quiet)
    assert dataset.name == "packrank-test"
    assert dataset.queries == {"q1": "what is whey?"}
    assert dataset.qrels == {"q1": {"d1": 2, "d2": 0}}
    assert {name: text.strip() for name, text in dataset.corpus.items()} == {
        "d1": "Whey is protein.",
        "d2": "Lima is a city.",
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("packrank/no-such", "ir_datasets has no data set 'packrank/no-such': `ir_datasets list` names all"),
        ("packrank", "ir_datasets has no queries and no qrels of 'packrank': name one of its splits"),
        ("packrank/away", "ir_datasets could not read packrank/away: no route to the mirror"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        read_catalogued(name, quiet)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(EvaluationError, match=r"install packrank-client\[evaluate,datasets\]"):
        read_catalogued("packrank/test", quiet)
