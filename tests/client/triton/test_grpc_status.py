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
from packrank_client._triton.grpc_status import error_from_status, status_code
from packrank_client.refusals import KINDS


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
    message = f"in ensemble 'reranker', {kind} {{}}: the sentence: with a colon."
    error = error_from_status(code, message, endpoint="host:8001")
    assert isinstance(error, InvalidRequest)
    assert (error.kind, error.passage_index) == (kind, None)
    own = "passages is empty; send at least one."
    assert str(error) == (own if kind == "no_passages" else "the sentence: with a colon.")


def test_a_kind_counts_only_with_the_codes_of_a_refusal() -> None:
    error = error_from_status("RESOURCE_EXHAUSTED", "too_many_tokens {}: in the queue", endpoint="host:8001")
    assert isinstance(error, ServerOverloaded)


def test_an_unnamed_refusal_is_still_the_callers() -> None:
    error = error_from_status("INVALID_ARGUMENT", "unexpected shape", endpoint="host:8001")
    assert isinstance(error, InvalidRequest)
    assert (error.kind, error.facts) == ("invalid_argument", {})


def test_what_a_stopping_server_answers_is_no_fault() -> None:
    message = "Request for unknown model: 'reranker' has no available versions"
    assert isinstance(error_from_status("NOT_FOUND", message, endpoint="host:8001"), ServerUnavailable)


def test_what_expired_in_a_queue_is_a_deadline() -> None:
    message = "in ensemble 'reranker', Request timeout expired"
    assert isinstance(error_from_status("UNAVAILABLE", message, endpoint="host:8001"), DeadlineExceeded)


def test_status_code() -> None:
    assert status_code("StatusCode.UNAVAILABLE") == "UNAVAILABLE"
    assert status_code(None) == "UNKNOWN"


def test_errors_survive_pickling() -> None:
    """multiprocessing pickles them."""
    error = InvalidRequest("passages[3] is long", kind="pair_too_long", facts={"passage": 3})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert (str(copy), copy.kind, copy.passage_index) == ("passages[3] is long", "pair_too_long", 3)
    assert copy.facts == error.facts
