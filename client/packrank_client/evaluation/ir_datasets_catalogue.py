"""Public data sets by their name in the catalogue of ir_datasets, the extra `datasets`."""

from __future__ import annotations

from collections.abc import Callable

from packrank_client.evaluation.dataset import Dataset
from packrank_client.evaluation.errors import EvaluationError

Announce = Callable[[str], None]


def read_catalogued(name: str, announce: Announce) -> Dataset:
    """Read the data set that ir_datasets calls `name`, such as `beir/fiqa/test`, with all texts in memory.

    ir_datasets downloads it on first use. Queries without a relevant document are skipped. The result's name suits
    a directory: `beir-fiqa-test`.

    Raises:
        EvaluationError: ir_datasets is not installed, does not know the name, cannot download the data, or has no
            documents, queries or judgements for it.
    """
    try:
        import ir_datasets  # noqa: PLC0415  (an optional extra)
    except ModuleNotFoundError:
        raise EvaluationError(
            f"ir_datasets:{name} needs the package ir_datasets: install packrank-client[evaluate,datasets]."
        ) from None
    try:
        source = ir_datasets.load(name)
    except KeyError:
        raise EvaluationError(
            f"ir_datasets has no data set {name!r}: `ir_datasets list` names all, for instance beir/fiqa/test."
        ) from None
    lacking = [part for part in ("docs", "queries", "qrels") if not getattr(source, f"has_{part}")()]
    if lacking:
        raise EvaluationError(
            f"ir_datasets has no {' and no '.join(lacking)} of {name!r}: name one of its splits, "
            f"for instance {name}/test."
        )
    try:
        announce("reading judgements")
        qrels: dict[str, dict[str, int]] = {}
        for judgement in source.qrels_iter():
            qrels.setdefault(judgement.query_id, {})[judgement.doc_id] = judgement.relevance
        announce("reading queries")
        queries = {
            query.query_id: query.default_text()
            for query in source.queries_iter()
            if any(grade > 0 for grade in qrels.get(query.query_id, {}).values())
        }
        corpus = {}
        for document in source.docs_iter():
            corpus[document.doc_id] = document.default_text()
            announce(f"reading document {len(corpus):,}")
    except (OSError, RuntimeError) as error:
        raise EvaluationError(f"ir_datasets could not read {name}: {error}") from error
    if not queries:
        raise EvaluationError(f"no query of {name} has a relevant document.")
    return Dataset(name.replace("/", "-"), queries, corpus, {query: qrels[query] for query in queries}, {})
