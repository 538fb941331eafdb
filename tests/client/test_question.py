from __future__ import annotations

from typing import Any

import pytest

from packrank_client import InvalidRequest
from packrank_client.question import PROMPT_TOKENS, Question, estimated_tokens, question_from_arguments


def test_texts_become_utf8() -> None:
    question = question_from_arguments("où?", ("ici", ""), top_n=7, truncate="end")
    assert (question.query, question.passages) == ("où?".encode(), [b"ici", b""])
    assert (question.top_n, question.truncate) == (7, "END")


def test_passages_may_be_any_iterable_of_str() -> None:
    question = question_from_arguments("q", iter(["a", "b"]))  # type: ignore[arg-type]
    assert question.passages == [b"a", b"b"]


@pytest.mark.parametrize(
    ("arguments", "kind", "passage_index"),
    [
        ({"query": ""}, "empty_query", None),
        ({"query": " \n\t"}, "empty_query", None),
        ({"query": b"q"}, "invalid_type", None),
        ({"query": None}, "invalid_type", None),
        ({"query": "\ud800"}, "invalid_utf8", None),
        ({"passages": []}, "no_passages", None),
        ({"passages": "one text"}, "invalid_type", None),
        ({"passages": b"one text"}, "invalid_type", None),
        ({"passages": {"a": 1}}, "invalid_type", None),
        ({"passages": {"a", "b"}}, "invalid_type", None),
        ({"passages": None}, "invalid_type", None),
        ({"passages": ["a", None]}, "invalid_type", 1),
        ({"passages": ["a", "b", b"c"]}, "invalid_type", 2),
        ({"passages": ["a", "\udfff"]}, "invalid_utf8", 1),
        ({"truncate": "START"}, "invalid_truncate", None),
        ({"truncate": None}, "invalid_truncate", None),
        ({"top_n": 0}, "invalid_top_n", None),
        ({"top_n": -1}, "invalid_top_n", None),
        ({"top_n": True}, "invalid_top_n", None),
        ({"top_n": 1.5}, "invalid_top_n", None),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], kind: str, passage_index: int | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        question_from_arguments(**{"query": "q", "passages": ["p"], **arguments})
    assert (raised.value.kind, raised.value.passage_index) == (kind, passage_index)
    assert next(iter(arguments)) in str(raised.value)


def test_a_token_limit_beyond_what_grpc_can_say_is_no_limit() -> None:
    assert question_from_arguments("q", ["a"], max_passage_tokens=10**30).parameters["max_passage_tokens"] == 2**31 - 1


def test_estimates_count_bytes_of_query_and_passage() -> None:
    question = Question("日本".encode(), [b"", "東京".encode() * 100], "NONE", None)
    assert estimated_tokens(question) == [PROMPT_TOKENS + 2, PROMPT_TOKENS + 202]
