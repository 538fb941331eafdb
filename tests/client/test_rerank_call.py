"""The state machine of a call, with answers in any order."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_client import DeadlineExceeded, InvalidRequest, ServerFault, ServerUnavailable
from packrank_client._rerank_call import Dispatch, RerankCall
from packrank_client._round_robin import RoundRobin
from packrank_client._triton.limits import Limits
from packrank_client.deadline import Deadline
from packrank_client.question import estimated_tokens, question_from_arguments

REFUSED = "StatusCode.INVALID_ARGUMENT"
UNAVAILABLE = "StatusCode.UNAVAILABLE"


class Tensors:
    """The part of an answer that the call reads: tensors by name."""

    def __init__(self, **tensors: Any) -> None:
        self._tensors = {name: np.array(value) for name, value in tensors.items()}

    def as_numpy(self, name: str) -> Any:
        return self._tensors.get(name)


def answer(dispatch: Dispatch) -> Tensors:
    """Answer a dispatch: the logit of each passage is its index."""
    assert dispatch.chunk is not None
    counts = [len(dispatch.chunk)] * len(dispatch.chunk)
    return Tensors(
        logits=[dispatch.chunk], scores=[[0.5] * len(counts)], token_counts=[counts], untruncated_token_counts=[counts]
    )


def call_of(
    passages: list[str],
    limits: Limits | None,
    *,
    endpoints: tuple[str, ...] = ("a:1",),
    max_concurrent_chunks: int = 8,
    max_chunk_tokens: int | None = None,
    awaits_return: bool = False,
    timeout_s: float = 60,
) -> RerankCall:
    return RerankCall(
        question_from_arguments("q", passages),
        Deadline(timeout_s),
        RoundRobin(endpoints),
        limits=limits,
        read_limits=lambda limits: limits,
        max_concurrent_chunks=max_concurrent_chunks,
        max_chunk_tokens=max_chunk_tokens,
        awaits_return=awaits_return,
    )


def test_chunks_can_be_smaller_than_the_server_allows() -> None:
    call = call_of(["x" * 300] * 4, Limits(9, 999), max_chunk_tokens=250)
    dispatches = list(call.next_dispatches())
    assert [call.tokens_of(dispatch) for dispatch in dispatches] == [220, 220]
    assert call.limits == Limits(9, 999), "the client keeps the server's own limits"


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=30),
    st.integers(1, 12),
    st.integers(20, 200),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_passage_is_answered_once_however_wrong_the_estimates(
    lengths: list[int], max_passages: int, max_tokens: int, max_concurrent: int, random: Any
) -> None:
    call = call_of(["x" * n for n in lengths], Limits(max_passages, max_tokens), max_concurrent_chunks=max_concurrent)
    under_way: list[Dispatch] = []
    while not call.done:
        under_way.extend(call.next_dispatches())
        assert 1 <= len(under_way) <= max_concurrent
        dispatch = under_way.pop(random.randrange(len(under_way)))
        assert dispatch.chunk is not None
        # the server counts four times the estimate; a single pair always fits
        tokens = 4 * sum(estimated_tokens(call.question)[index] for index in dispatch.chunk)
        if len(dispatch.chunk) > 1 and tokens > max_tokens:
            call.failed(dispatch, REFUSED, f'too_many_tokens {{"tokens":{tokens}}}: the request has {tokens} tokens.')
        else:
            call.answered(dispatch, answer(dispatch))
    assert [result.index for result in call.results()] == list(reversed(range(len(lengths))))


def test_limits_are_looked_up_first() -> None:
    call = call_of(["a", "b", "c"], None)
    (lookup,) = call.next_dispatches()
    assert lookup.chunk is None
    assert not list(call.next_dispatches())
    call.answered(lookup, Limits(2, 1000))
    assert call.limits == Limits(2, 1000)
    assert sorted(len(dispatch.chunk or ()) for dispatch in call.next_dispatches()) == [1, 2]


def test_a_chunk_goes_to_every_endpoint_before_the_call_gives_up() -> None:
    call = call_of(["a"], Limits(9, 999), endpoints=("a:1", "b:1", "c:1"))
    tried = []

    def until_an_error() -> None:
        while True:
            (dispatch,) = call.next_dispatches()
            tried.append(dispatch.endpoint)
            call.failed(dispatch, UNAVAILABLE, "gone")

    with pytest.raises(ServerUnavailable, match="a:1, b:1, c:1"):
        until_an_error()
    assert tried == [0, 1, 2]


def test_an_endpoint_that_was_unavailable_gets_nothing_more_of_the_call() -> None:
    call = call_of(["a", "b", "c", "d"], Limits(1, 999), endpoints=("a:1", "b:1"), max_concurrent_chunks=2)
    first, second = call.next_dispatches()
    call.failed(first, UNAVAILABLE, "gone")
    call.answered(second, answer(second))
    rest = []
    while not call.done:
        for dispatch in list(call.next_dispatches()):
            rest.append(dispatch.endpoint)
            call.answered(dispatch, answer(dispatch))
    assert rest == [1, 1, 1]


def test_only_unavailable_is_tried_elsewhere() -> None:
    call = call_of(["a"], Limits(9, 999), endpoints=("a:1", "b:1"))
    (dispatch,) = call.next_dispatches()
    with pytest.raises(ServerFault):
        call.failed(dispatch, "StatusCode.INTERNAL", "broken")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("StatusCode.NOT_FOUND", "Request for unknown model: 'reranker' has no available versions"),
        ("StatusCode.NOT_FOUND", "Request for unknown model: 'reranker' is not found"),
        ("StatusCode.CANCELLED", "the server stops"),
        (UNAVAILABLE, "Socket closed"),
    ],
)
def test_a_stopping_server_means_elsewhere(status: str, message: str) -> None:
    call = call_of(["a"], Limits(9, 999), endpoints=("a:1", "b:1"))
    (first,) = call.next_dispatches()
    call.failed(first, status, message)
    (second,) = call.next_dispatches()
    assert (first.endpoint, second.endpoint) == (0, 1)
    call.answered(second, answer(second))
    assert call.done


def test_work_that_expired_in_the_queue_is_not_tried_elsewhere() -> None:
    call = call_of(["a"], Limits(9, 999), endpoints=("a:1", "b:1"))
    (dispatch,) = call.next_dispatches()
    with pytest.raises(DeadlineExceeded):
        call.failed(dispatch, UNAVAILABLE, "in ensemble 'reranker', Request timeout expired")


def test_with_all_endpoints_down_the_call_pauses_and_tries_all_again() -> None:
    call = call_of(["a"], Limits(9, 999), endpoints=("a:1", "b:1"), awaits_return=True)
    tried = []
    for _ in range(3):
        for _ in range(2):
            (dispatch,) = call.next_dispatches()
            tried.append(dispatch.endpoint)
            call.failed(dispatch, UNAVAILABLE, "gone")
        assert call.pause_s > 0
        assert not list(call.next_dispatches()), "nothing is sent during the pause"
        assert not call.done
        while call.pause_s:
            signal.sigtimedwait([], call.pause_s)
    (dispatch,) = call.next_dispatches()
    call.answered(dispatch, answer(dispatch))
    assert sorted(tried) == [0, 0, 0, 1, 1, 1]
    assert call.done


def test_a_pause_beyond_the_deadline_is_an_error_at_once() -> None:
    call = call_of(["a"], Limits(9, 999), awaits_return=True, timeout_s=0.02)
    (dispatch,) = call.next_dispatches()
    with pytest.raises(ServerUnavailable, match="gone"):
        call.failed(dispatch, UNAVAILABLE, "gone")


@pytest.mark.parametrize("kind", ["too_many_tokens", "too_many_passages"])
def test_a_refused_chunk_is_sent_again_in_halves(kind: str) -> None:
    call = call_of(["a", "b", "c", "d"], Limits(9, 999))
    (dispatch,) = call.next_dispatches()
    call.failed(dispatch, REFUSED, f"{kind} {{}}: more than the limit.")
    assert [dispatch.chunk for dispatch in call.next_dispatches()] == [(0, 1), (2, 3)]


def test_a_single_pair_cannot_be_halved() -> None:
    call = call_of(["a", "b"], Limits(1, 999))
    dispatch = list(call.next_dispatches())[1]
    with pytest.raises(InvalidRequest) as raised:
        call.failed(dispatch, REFUSED, 'too_many_tokens {"tokens":20000}: the request has 20000 tokens in 1 pairs.')
    assert (raised.value.kind, raised.value.passage_index) == ("too_many_tokens", 1)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"logits": [[0.5]], "scores": [[0.5]]}, "token_counts"),
        ({"logits": [[0.5, 0.5]], "scores": [[0.5]], "token_counts": [[1]]}, "logits"),
        ({"logits": [0.5], "scores": [[0.5]], "token_counts": [[1]]}, "logits"),
        ({"logits": [[float("nan")]], "scores": [[0.5]], "token_counts": [[1]]}, "finite"),
        ({"logits": [[float("inf")]], "scores": [[1.0]], "token_counts": [[1]]}, "finite"),
    ],
)
def test_an_answer_that_makes_no_sense_is_the_servers_fault(tensors: dict[str, Any], says: str) -> None:
    call = call_of(["a"], Limits(9, 999))
    (dispatch,) = call.next_dispatches()
    with pytest.raises(ServerFault, match=says):
        call.answered(dispatch, Tensors(**tensors))
