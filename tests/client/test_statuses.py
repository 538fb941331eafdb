from __future__ import annotations

import pickle

import pytest

from packrank_client import (
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    ServerFault,
    ServerOverloaded,
    ServerUnavailable,
    Unauthorized,
)
from packrank_client._statuses import KINDS, error_from_status, status_code


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("INVALID_ARGUMENT", InvalidRequest),
        ("UNAVAILABLE", ServerUnavailable),
        ("CANCELLED", ServerUnavailable),
        ("RESOURCE_EXHAUSTED", ServerOverloaded),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
        ("UNAUTHENTICATED", Unauthorized),
        ("PERMISSION_DENIED", Unauthorized),
        ("NOT_FOUND", ServerFault),
        ("INTERNAL", ServerFault),
        ("UNKNOWN", ServerFault),
        ("UNIMPLEMENTED", ServerFault),
        ("FAILED_PRECONDITION", ServerFault),
        ("DATA_LOSS", ServerFault),
    ],
)
def test_a_code_becomes_the_class_of_what_to_do(code: str, error_class: type[RerankError]) -> None:
    error = error_from_status(code, "the {reason}", endpoint="host:8001")
    assert type(error) is error_class
    assert "the {reason}" in str(error)
    assert "host:8001" in str(error)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "UNKNOWN"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_known_by_its_kind(kind: str, code: str) -> None:
    message = f"in ensemble 'reranker', {kind}: the sentence: with a colon."
    error = error_from_status(code, message, endpoint="host:8001")
    assert isinstance(error, InvalidRequest)
    assert (error.kind, error.passage_index) == (kind, None)
    assert str(error) == "the sentence: with a colon."


def test_a_kind_counts_only_with_the_codes_of_a_refusal() -> None:
    error = error_from_status("RESOURCE_EXHAUSTED", "too_many_tokens: in the queue", endpoint="host:8001")
    assert isinstance(error, ServerOverloaded)


def test_an_unnamed_refusal_is_still_the_callers() -> None:
    error = error_from_status("INVALID_ARGUMENT", "unexpected shape", endpoint="host:8001")
    assert isinstance(error, InvalidRequest)
    assert error.kind == "invalid_argument"


@pytest.mark.parametrize(
    ("sentence", "chunk", "translated", "passage_index"),
    [
        ("passages[3] has 9017 tokens", (7, 5, 9, 40, 2), "passages[40] has 9017 tokens", 40),
        ("passages[0] and passages[1]", (6, 4), "passages[6] and passages[4]", 6),
        ("the request has 9 tokens in 1 pairs", (6,), "the request has 9 tokens in 1 pairs", 6),
        ("the request has 9 tokens in 2 pairs", (6, 4), "the request has 9 tokens in 2 pairs", None),
        ("passages[8] is not there", (6, 4), "passages[8] is not there", None),
    ],
)
def test_indexes_of_a_chunk_become_the_callers(
    sentence: str, chunk: tuple[int, ...], translated: str, passage_index: int | None
) -> None:
    message = f"pair_too_long: {sentence}"
    error = error_from_status("INVALID_ARGUMENT", message, endpoint="host:8001", chunk=chunk)
    assert isinstance(error, InvalidRequest)
    assert (str(error), error.passage_index) == (translated, passage_index)


def test_status_code() -> None:
    assert status_code("StatusCode.UNAVAILABLE") == "UNAVAILABLE"
    assert status_code(None) == "UNKNOWN"


def test_errors_survive_pickling() -> None:
    """As multiprocessing needs it."""
    error = InvalidRequest("passages[3] is long", kind="pair_too_long", passage_index=3)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert (str(copy), copy.kind, copy.passage_index) == ("passages[3] is long", "pair_too_long", 3)
