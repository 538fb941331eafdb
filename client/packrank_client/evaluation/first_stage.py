"""The first stage, which finds the candidates to rerank: BM25 or an embeddings endpoint.

If a data set brings candidates of a query, the first stage sorts exactly those.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import bm25s
import numpy as np
from numpy.typing import NDArray

from packrank_client.evaluation.dataset import Dataset
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.trec_run import Hit

Announce = Callable[[str], None]

# Limits of one request to an embeddings endpoint: on a CPU, 32 long documents at once missed its deadline. A text over
# the character limit goes alone.
_BATCH_TEXTS = 32
_BATCH_CHARACTERS = 32_768


def bm25_run(dataset: Dataset, depth: int, announce: Announce) -> dict[str, list[Hit]]:
    """Rank by BM25 as Lucene computes it (bm25s: k1 1.5, b 0.75; lower case, no stemming, no English stop words)."""
    announce(f"BM25 over {len(dataset.corpus):,} documents")
    names = list(dataset.corpus)
    index = bm25s.BM25()
    index.index(_tokens(list(dataset.corpus.values())), show_progress=False)
    run = {}
    for query, text in dataset.queries.items():
        tokens = _tokens([text])[0]
        scores = np.asarray(index.get_scores(tokens)) if tokens else np.zeros(len(names), np.float32)
        run[query] = _best(names, scores, depth, dataset.candidates.get(query))
    return run


def embeddings_run(dataset: Dataset, depth: int, announce: Announce, url: str, model: str) -> dict[str, list[Hit]]:
    """Rank by cosine similarity of embeddings from an OpenAI-style endpoint (`url` ends before /v1/embeddings).

    `input_type` is "query" or "passage", as NVIDIA's embedders expect. A key in EMBEDDINGS_API_KEY is sent as a
    bearer token.
    """
    names = list(dataset.corpus)
    passages = _embed(url, model, "passage", list(dataset.corpus.values()), announce)
    queries = _embed(url, model, "query", list(dataset.queries.values()), announce)
    similarities = queries @ passages.T
    return {
        query: _best(names, scores, depth, dataset.candidates.get(query))
        for query, scores in zip(dataset.queries, similarities, strict=True)
    }


def _best(names: Sequence[str], scores: NDArray[np.float32], depth: int, candidates: Sequence[str] | None) -> list[Hit]:
    """Return the best documents, ties in corpus order. Unlike trec_eval's order, this one does not depend on ids."""
    ranked = (Hit(names[place], float(scores[place])) for place in np.argsort(-scores, kind="stable"))
    if candidates is None:
        return list(islice(ranked, depth))
    among = set(candidates)
    return [hit for hit in ranked if hit.document in among]


def _tokens(texts: list[str]) -> list[list[str]]:
    found: list[list[str]] = bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
    return found


def _embed(url: str, model: str, input_type: str, texts: Sequence[str], announce: Announce) -> NDArray[np.float32]:
    """Embed texts: FP32 [texts, width], rows of length 1."""
    rows: list[list[float]] = []
    for batch in _batches(texts):
        announce(f"embedding {input_type} {len(rows) + 1:,} of {len(texts):,}")
        question: dict[str, object] = {"model": model, "input": batch, "input_type": input_type}
        answer = _post(f"{url.rstrip('/')}/v1/embeddings", question)
        rows += [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
    embeddings = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    normed: NDArray[np.float32] = embeddings / np.maximum(lengths, 1e-12)
    return normed


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in order, in batches within the limits of one request."""
    batch: list[str] = []
    for text in texts:
        if batch and (len(batch) == _BATCH_TEXTS or sum(map(len, batch)) + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def _post(url: str, question: dict[str, object]) -> dict[str, list[dict[str, list[float]]]]:
    headers = {"content-type": "application/json"}
    if os.environ.get("EMBEDDINGS_API_KEY"):
        headers["authorization"] = f"Bearer {os.environ['EMBEDDINGS_API_KEY']}"
    request = urllib.request.Request(url, json.dumps(question).encode(), headers)  # noqa: S310  (the user's URL)
    try:
        with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310
            answer: dict[str, list[dict[str, list[float]]]] = json.load(response)
    except urllib.error.HTTPError as error:
        detail = error.read(500).decode("utf-8", "replace")
        raise EvaluationError(f"{url} answered {error.code}: {detail}") from error
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{url} did not answer: {error}") from error
    if "data" not in answer:
        raise EvaluationError(f"{url} answered without `data`: is it an OpenAI-style embeddings endpoint?")
    return answer
