"""Triton's string tensors -> the texts of one question."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.pairs import Question
from packrank_backend.truncation import max_passage_tokens_from_parameters, truncate_from_parameters


def question_from_tensors(query: NDArray[Any], passages: NDArray[Any], parameters: str) -> Question:
    """Read a request: query BYTES [1, 1], passages BYTES [1, K], Triton's request parameters as JSON.

    Raises InvalidRequest: INVALID_BATCH when the first dimension is not 1 (a request is one question, and Triton
    merges requests by itself), INVALID_UTF8 naming the text, INVALID_TRUNCATE, INVALID_MAX_PASSAGE_TOKENS.
    """
    for name, tensor in (("query", query), ("passages", passages)):
        if tensor.shape[0] != 1:
            sentence = f"{name} has batch dimension {tensor.shape[0]}; it must be 1: send one request per query."
            raise InvalidRequest(ErrorKind.INVALID_BATCH, sentence)
    return Question(
        query=_text(query[0, 0], "query"),
        passages=[_text(value, f"passages[{index}]") for index, value in enumerate(passages[0])],
        truncate=truncate_from_parameters(parameters),
        max_passage_tokens=max_passage_tokens_from_parameters(parameters),
    )


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        sentence = f"{name} is not valid UTF-8 at byte {error.start}; encode the text as UTF-8."
        raise InvalidRequest(ErrorKind.INVALID_UTF8, sentence) from None
