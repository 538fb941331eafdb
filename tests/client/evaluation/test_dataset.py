from __future__ import annotations

import json
from pathlib import Path

import pytest

from packrank_client.evaluation.dataset import Dataset, read_dataset, sample
from packrank_client.evaluation.errors import EvaluationError

CORPUS = [{"_id": "d1", "title": "Whey", "text": "is protein."}, {"_id": "d2", "title": "", "text": "Lima is a city."}]
QUERIES = [{"_id": "q1", "text": "what is whey?"}, {"_id": "q2", "text": "unjudged"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n"


def folder(
    directory: Path,
    corpus: object = CORPUS,
    queries: object = QUERIES,
    qrels: str = QRELS,
    split: str = "test.tsv",
) -> Path:
    (directory / "qrels").mkdir()
    for name, records in (("corpus", corpus), ("queries", queries)):
        assert isinstance(records, list)
        text = "".join(json.dumps(record) + "\n" for record in records)
        (directory / f"{name}.jsonl").write_text(text)
    (directory / "qrels" / split).write_text(qrels)
    return directory


def test_titles_stand_before_their_text_and_unjudged_queries_are_left_out(tmp_path: Path) -> None:
    dataset = read_dataset(folder(tmp_path))
    assert dataset.corpus == {"d1": "Whey is protein.", "d2": "Lima is a city."}
    assert dataset.queries == {"q1": "what is whey?"}
    assert dataset.qrels == {"q1": {"d1": 2, "d2": 0}}


def test_qrels_of_trec_have_four_columns_and_no_header(tmp_path: Path) -> None:
    assert read_dataset(folder(tmp_path, qrels="q1 0 d1 1\n")).qrels == {"q1": {"d1": 1}}


def test_qrels_as_json_lines(tmp_path: Path) -> None:
    line = json.dumps({"query-id": "q1", "corpus-id": "d1", "score": 1.0})
    assert read_dataset(folder(tmp_path, qrels=line + "\n", split="test.jsonl")).qrels == {"q1": {"d1": 1}}


def test_another_split_is_asked_for_by_name(tmp_path: Path) -> None:
    folder(tmp_path, split="dev.tsv")
    assert read_dataset(tmp_path, "dev").queries
    with pytest.raises(EvaluationError, match="has neither .*test.tsv nor .*test.jsonl"):
        read_dataset(tmp_path)


def test_languages_are_those_that_queries_say(tmp_path: Path) -> None:
    queries = [{"_id": "q1", "text": "was ist Molke?", "metadata": {"language": "de"}}]
    assert read_dataset(folder(tmp_path, queries=queries)).languages == {"q1": "de"}


def rank(directory: Path, **line: object) -> Path:
    (directory / "top_ranked").mkdir()
    (directory / "top_ranked" / "test.jsonl").write_text(json.dumps(line) + "\n")
    return directory


def test_candidates_are_those_that_mteb_calls_top_ranked(tmp_path: Path) -> None:
    directory = folder(tmp_path)
    assert read_dataset(directory).candidates == {}
    assert read_dataset(rank(directory, **{"query-id": "q1", "corpus-ids": ["d2"]})).candidates == {"q1": ["d2"]}


def test_candidates_must_be_documents(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"top_ranked/test.jsonl:1: the candidate 'd9' is not in corpus.jsonl"):
        read_dataset(rank(folder(tmp_path), **{"query-id": "q1", "corpus-ids": ["d1", "d9"]}))


def test_a_sample_is_always_the_same_and_keeps_the_order() -> None:
    names = [f"q{number}" for number in range(20)]
    dataset = Dataset("pets", {name: name for name in names}, {"d": "d"}, {name: {"d": 1} for name in names}, {})
    few = sample(dataset, 5)
    assert few == sample(dataset, 5)
    assert list(few.queries) == list(few.qrels) == [name for name in names if name in few.queries]
    assert len(few.queries) == 5
    assert sample(dataset, 20) == sample(dataset, None) == dataset


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"qrels": "q1\td9\t1\n"}, "1 relevant documents are not in corpus.jsonl, the first is 'd9'"),
        ({"qrels": "q9\td1\t1\n"}, "no query of queries.jsonl has a relevant document"),
        ({"qrels": "q1\td1\thigh\n"}, r"test.tsv:1: the grade 'high' is not a number"),
        ({"qrels": "q1\td1\n"}, r"test.tsv:1: 2 columns"),
        ({"corpus": [{"text": "no id"}]}, r"corpus.jsonl:1: has no \"_id\""),
        ({"queries": [{"_id": "q1"}]}, r"queries.jsonl:1: has no \"text\""),
        ({"corpus": ["a string"]}, r"corpus.jsonl:1: not a JSON object"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        read_dataset(folder(tmp_path, **change))  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(EvaluationError, match=r"corpus.jsonl is missing"):
        read_dataset(tmp_path)
