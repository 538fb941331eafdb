"""NVIDIA's NIM over gRPC: its tensors <-> a question and its logits.

Contract: docs.nvidia.com/nim/nemo-retriever/text-reranking, gRPC reference. `index` and `logit` come with the highest
logit first; `token_count` keeps the order of the passages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from packrank_backend.deadlines import NO_DEADLINE
from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.question import Question
from packrank_backend.text.request_texts import question_from_tensors


@dataclass(frozen=True)
class NimRanking:
    """index INT32 [N, 1], logit FP32 [N, 1], token_count INT32 [N]."""

    index: NDArray[np.int32]
    logit: NDArray[np.float32]
    token_count: NDArray[np.int32]


def question_from_nim_tensors(
    query: NDArray[np.object_], passage: NDArray[np.object_], parameters: str, deadline: int = NO_DEADLINE
) -> Question:
    """Read a request: query BYTES [1, 1] or [N, 1], passage BYTES [N, 1], and Triton's request parameters as JSON.

    A request is one question, so all rows of the query must be equal.

    Raises InvalidRequest like `question_from_tensors`; INVALID_BATCH also for a wrong number of queries or for
    queries that differ.
    """
    queries = query.reshape(-1)
    rows, passages = len(queries), len(passage)
    if rows not in {1, passages} or not rows:
        sentence = f"query has {rows} rows, passage {passages}; send the query once or with every passage."
        raise InvalidRequest(ErrorKind.INVALID_BATCH, sentence, queries=rows, passages=passages)
    if len(set(queries.tolist())) > 1:
        raise InvalidRequest(ErrorKind.INVALID_BATCH, "the rows of query differ; send one request per query.")
    return question_from_tensors(queries[:1].reshape(1, 1), passage.reshape(1, -1), parameters, deadline)


def nim_ranking(logits: NDArray[np.float32], token_counts: NDArray[np.int32]) -> NimRanking:
    """Turn logits FP32 [1, N] and token_counts INT32 [1, N] into NIM's answer. Equal logits keep their order."""
    order = np.argsort(-logits[0], kind="stable")
    return NimRanking(order.astype(np.int32)[:, None], logits[0][order][:, None], token_counts[0].copy())
