"""A chunk of a question -> the tensors of one request; the tensors of an answer -> results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput

from packrank_client._chunks import Chunk
from packrank_client.errors import ServerFault
from packrank_client.question import Question
from packrank_client.results import RerankResult


def request_inputs(question: Question, chunk: Chunk) -> list[InferInput]:
    """Build query BYTES [1, 1] and passages BYTES [1, K]. The first dimension is the batch, always 1."""
    return [
        _bytes_input("query", [question.query]),
        _bytes_input("passages", [question.passages[index] for index in chunk]),
    ]


def _bytes_input(name: str, values: Sequence[bytes]) -> InferInput:
    tensor = np.array([values], dtype=np.object_)
    return InferInput(name, tensor.shape, "BYTES").set_data_from_numpy(tensor)


def read_results(answer: Any, chunk: Chunk) -> list[RerankResult]:
    """Read an InferResult: logits and scores FP32 [1, K], token_counts and untruncated_token_counts INT32 [1, K].

    Raises ServerFault for a missing tensor, a wrong shape, or a logit that is not finite.
    """
    logits = _row(answer, "logits", len(chunk))
    if not np.isfinite(logits).all():
        raise ServerFault("the server answered a logit that is not a finite number: check the model and its precision.")
    scores, tokens = _row(answer, "scores", len(chunk)), _row(answer, "token_counts", len(chunk))
    columns = (logits, scores, tokens, _row(answer, "untruncated_token_counts", len(chunk)) > tokens)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [RerankResult(index, *row) for index, row in zip(chunk, rows, strict=True)]


def _row(answer: Any, name: str, count: int) -> Any:
    try:
        tensor = answer.as_numpy(name)
    except (TypeError, ValueError) as error:
        raise ServerFault(f"the server answered an unreadable tensor {name!r}: {error}") from None
    shape = "nothing" if tensor is None else list(tensor.shape)
    if shape != [1, count]:
        raise ServerFault(f"the server answered {shape} as {name!r}, not [1, {count}]: check model and version.")
    return tensor[0]
