"""Reranks the first stage's hits with the live server, query by query. An interrupted evaluation resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from packrank_client.client import RerankClient
from packrank_client.errors import InvalidRequest
from packrank_client.evaluation.dataset import Dataset
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.trec_run import Hit, Run

QUERIES_UNDER_WAY = 4
# Identifies the served model by its answer to one question, which may differ in the last digits.
_PROBE = (
    "What is a reranker?",
    ("A model that orders passages by how well they answer.", "The capital of Peru is Lima."),
)
_PROBE_TOLERANCE = 0.05


def rerank_run(
    client: RerankClient,
    dataset: Dataset,
    first: Run,
    path: Path,
    announce: Callable[[str], None],
    *,
    truncate: Literal["NONE", "END"] = "END",
    restart: bool = False,
) -> dict[str, list[Hit]]:
    """Score every hit with the server; ties keep the first stage's order.

    Each finished query becomes a line of `path`. A second call reads these lines instead of asking again, unless
    `restart` is set.

    Raises:
        EvaluationError: `path` holds results of other data, candidates, options or another model, or the server
            refuses a query or document.
        RerankError: the server failed; finished queries are kept.
    """
    question, passages = _PROBE
    probe = [result.logit for result in sorted(client.rerank(question, passages), key=lambda result: result.index)]
    header = {"data and candidates": _fingerprint(dataset, first), "--truncate": truncate, "model": probe}
    if restart:
        path.unlink(missing_ok=True)
    done = _finished(path, header)
    waiting = [query for query in dataset.queries if query not in done and first.get(query)]
    with path.open("a", encoding="utf-8") as results, ThreadPoolExecutor(QUERIES_UNDER_WAY) as pool:
        if not path.stat().st_size:
            results.write(json.dumps(header) + "\n")

        def ask(query: str) -> list[Hit]:
            hits = first[query]
            passages = [dataset.corpus[hit.document] for hit in hits]
            try:
                ranked = client.rerank(dataset.queries[query], passages, truncate=truncate)
            except InvalidRequest as error:
                at = "" if error.passage_index is None else f", document {hits[error.passage_index].document!r}"
                raise EvaluationError(f"query {query!r}{at}: {error}") from error
            return [Hit(hits[result.index].document, result.logit) for result in ranked]

        for query, hits in _in_order(pool, ask, waiting):
            done[query] = hits
            results.write(json.dumps({"query": query, "hits": hits}) + "\n")
            results.flush()
            announce(f"reranked {len(done):,} of {len(dataset.queries):,} queries")
    return {query: done[query] for query in dataset.queries if query in done}


def _in_order(
    pool: ThreadPoolExecutor, ask: Callable[[str], list[Hit]], queries: list[str]
) -> Iterator[tuple[str, list[Hit]]]:
    """Yield answers in the order of the queries, with a few in flight; ask nothing new after a failure."""
    ahead: list[tuple[str, Future[list[Hit]]]] = []
    waiting = iter(queries)
    try:
        for query in waiting:
            ahead.append((query, pool.submit(ask, query)))
            if len(ahead) == QUERIES_UNDER_WAY:
                first, answer = ahead.pop(0)
                yield first, answer.result()
        for query, answer in ahead:
            yield query, answer.result()
    finally:
        for _, answer in ahead:
            answer.cancel()


def _finished(path: Path, header: dict[str, Any]) -> dict[str, list[Hit]]:
    """Read the queries that an earlier call finished, and drop a last line that was cut off."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    lines = whole.splitlines()
    if not lines:
        return {}
    earlier: dict[str, Any] = json.loads(lines[0])
    changed = [key for key in header if key != "model" and earlier.get(key) != header[key]]
    if not np.allclose(earlier.get("model", ()), header["model"], rtol=0, atol=_PROBE_TOLERANCE):
        changed.append("model")
    if changed:
        what = " and ".join(changed)
        raise EvaluationError(f"{path} holds results of another {what}: give another --output, or --restart.")
    records = [json.loads(line) for line in lines[1:]]
    return {record["query"]: [Hit(*hit) for hit in record["hits"]] for record in records}


def _fingerprint(dataset: Dataset, first: Run) -> str:
    """Hash every text and candidate: SHA-256, hexadecimal."""
    state = hashlib.sha256()
    for query, text in dataset.queries.items():
        parts = [query, text]
        for hit in first.get(query, ()):
            parts += [hit.document, dataset.corpus[hit.document]]
        for part in parts:
            state.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return state.hexdigest()
