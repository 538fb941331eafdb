"""Triton's string tensors -> the texts of one question."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from packrank_backend.deadlines import NO_DEADLINE
from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.question import Question
from packrank_backend.text.truncate_parameters import (
    max_pair_tokens_from_parameters,
    max_passage_tokens_from_parameters,
    max_query_tokens_from_parameters,
    truncate_from_parameters,
)


def question_from_tensors(
    query: NDArray[Any], passages: NDArray[Any], parameters: str, deadline: int = NO_DEADLINE
) -> Question:
    """Read a request: query BYTES [1, 1], passages BYTES [1, K], and Triton's request parameters as JSON.

    The first dimension must be 1: a request is one question, and Triton merges requests by itself.

    Raises InvalidRequest: INVALID_BATCH, INVALID_UTF8, INVALID_TRUNCATE, INVALID_MAX_PASSAGE_TOKENS or
    INVALID_MAX_TOKENS.
    """
    for name, tensor in (("query", query), ("passages", passages)):
        batch = tensor.shape[0]
        if batch != 1:
            sentence = f"{name} has batch dimension {batch}; it must be 1: send one request per query."
            raise InvalidRequest(ErrorKind.INVALID_BATCH, sentence, batch=batch, limit=1)
    return Question(
        query=_text(query[0, 0], "query"),
        passages=[_text(value, f"passages[{index}]", passage=index) for index, value in enumerate(passages[0])],
        truncate=truncate_from_parameters(parameters),
        max_passage_tokens=max_passage_tokens_from_parameters(parameters),
        deadline=deadline,
        max_query_tokens=max_query_tokens_from_parameters(parameters),
        max_pair_tokens=max_pair_tokens_from_parameters(parameters),
    )


def _text(value: bytes, name: str, **facts: int) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        sentence = f"{name} is not valid UTF-8 at byte {error.start}; encode the text as UTF-8."
        raise InvalidRequest(ErrorKind.INVALID_UTF8, sentence, **facts, byte=error.start) from None
