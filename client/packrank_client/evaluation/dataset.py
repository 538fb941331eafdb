"""A retrieval data set in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/<split>.tsv.

It also reads qrels as JSON lines (qrels/<split>.jsonl, as MTEB publishes them) and TREC's four-column qrels. MTEB's
reranking tasks add top_ranked/<split>.jsonl, the candidates of each query.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from packrank_client.evaluation.errors import EvaluationError


@dataclass(frozen=True)
class Dataset:
    """Texts by id, and a grade for each judged document of a query; grade 0 is not relevant."""

    name: str
    queries: dict[str, str]
    corpus: dict[str, str]
    qrels: dict[str, dict[str, int]]
    languages: dict[str, str]  # only of queries that state one
    candidates: dict[str, list[str]] = field(default_factory=dict)  # only of queries that come with some


def read_dataset(directory: Path, split: str = "test") -> Dataset:
    """Read a BEIR folder, put titles before texts, and skip queries without a relevant document.

    Raises:
        EvaluationError: a file is missing or malformed, or the qrels name unknown documents.
    """
    if not directory.is_dir():
        raise EvaluationError(
            f"{directory} is not a directory: give a folder with corpus.jsonl, queries.jsonl, qrels/."
        )
    qrels = _read_qrels(directory, split)
    corpus = {}
    for place, record in _json_lines(directory / "corpus.jsonl"):
        title, text = record.get("title") or "", _text(record, place)
        corpus[_identity(record, place)] = f"{title} {text}" if title else text
    queries, languages = {}, {}
    for place, record in _json_lines(directory / "queries.jsonl"):
        name = _identity(record, place)
        if any(qrels.get(name, {}).values()):
            queries[name] = _text(record, place)
            language = record.get("language") or (record.get("metadata") or {}).get("language")
            if language:
                languages[name] = str(language)
    if not queries:
        raise EvaluationError(f"{directory}: no query of queries.jsonl has a relevant document in qrels/{split}.")
    judged = {name: qrels[name] for name in queries}
    unknown = [
        document for grades in judged.values() for document, grade in grades.items() if document not in corpus and grade
    ]
    if unknown:
        raise EvaluationError(
            f"{directory}: {len(unknown)} relevant documents are not in corpus.jsonl, the first is {unknown[0]!r}: "
            "the qrels belong to another corpus."
        )
    candidates = _read_candidates(directory / "top_ranked" / f"{split}.jsonl", queries, corpus)
    return Dataset(directory.resolve().name, queries, corpus, judged, languages, candidates)


def sample(dataset: Dataset, queries: int | None) -> Dataset:
    """Keep at most `queries` queries, the same ones every time, in their order; None keeps all."""
    if queries is None or queries >= len(dataset.queries):
        return dataset
    places = np.sort(np.random.default_rng(0).choice(len(dataset.queries), queries, replace=False))
    names = list(dataset.queries)
    chosen = {names[place]: dataset.queries[names[place]] for place in places}
    return replace(dataset, queries=chosen, qrels={name: dataset.qrels[name] for name in chosen})


def _read_candidates(path: Path, queries: Mapping[str, str], corpus: Mapping[str, str]) -> dict[str, list[str]]:
    """Read one `{"query-id": ..., "corpus-ids": [...]}` per line; a missing file means no candidates."""
    candidates: dict[str, list[str]] = {}
    for place, record in _json_lines(path) if path.is_file() else ():
        query, names = str(record.get("query-id")), record.get("corpus-ids")
        if not isinstance(names, list):
            raise EvaluationError(f'{place}: has no list "corpus-ids".')
        unknown = [name for name in names if str(name) not in corpus]
        if unknown:
            raise EvaluationError(f"{place}: the candidate {unknown[0]!r} is not in corpus.jsonl.")
        if query in queries:
            candidates[query] = [str(name) for name in names]
    return candidates


def _read_qrels(directory: Path, split: str) -> dict[str, dict[str, int]]:
    lines, table = directory / "qrels" / f"{split}.jsonl", directory / "qrels" / f"{split}.tsv"
    rows: Iterator[tuple[str, str, str, str]]
    if table.is_file():
        rows = _table_rows(table)
    elif lines.is_file():
        rows = (
            (f"{place}", str(record.get("query-id")), str(record.get("corpus-id")), str(record.get("score")))
            for place, record in _json_lines(lines)
        )
    else:
        raise EvaluationError(
            f"{directory} has neither qrels/{split}.tsv nor qrels/{split}.jsonl: name another --split."
        )
    qrels: dict[str, dict[str, int]] = {}
    for place, query, document, grade in rows:
        try:
            qrels.setdefault(query, {})[document] = int(float(grade))
        except ValueError:
            raise EvaluationError(f"{place}: the grade {grade!r} is not a number.") from None
    return qrels


def _table_rows(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Read BEIR's `query-id corpus-id score` with a header, or TREC's `query-id 0 document-id grade` without one."""
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if number == 1 and fields[0] == "query-id":
            continue
        if len(fields) not in (3, 4):
            raise EvaluationError(f"{path}:{number}: {len(fields)} columns; BEIR's qrels have 3, TREC's have 4.")
        yield f"{path}:{number}", fields[0], fields[-2], fields[-1]


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of a file with its place, for messages."""
    for number, line in enumerate(_lines(path), start=1):
        place = f"{path}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise EvaluationError(f"{place}: not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise EvaluationError(f"{place}: not a JSON object.")
        yield place, record


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from (line.rstrip("\r\n") for line in lines if line.strip())
    except FileNotFoundError:
        raise EvaluationError(f"{path} is missing: see https://github.com/beir-cellar/beir for the layout.") from None
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8 text.") from error


def _identity(record: dict[str, Any], place: str) -> str:
    name = record.get("_id", record.get("id"))
    if name is None:
        raise EvaluationError(f'{place}: has no "_id".')
    return str(name)


def _text(record: dict[str, Any], place: str) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise EvaluationError(f'{place}: has no "text".')
    return text
