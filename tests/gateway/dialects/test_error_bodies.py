"""Each dialect tells the same facts in its own words."""

from __future__ import annotations

import pytest

from packrank_client import InvalidRequest
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.error_bodies import error_body
from packrank_gateway.errors import GatewayError, error_from_client

FACTS = {"passage": 7, "tokens": 65, "limit": 64}


@pytest.mark.parametrize(
    ("dialect", "sentence"),
    [
        (
            Dialect.NIM,
            "Input length 65 exceeds maximum allowed token size 64: passages[7] has 65 tokens together with the query; "
            "the limit is 64. Shorten the passage or send truncate=END.",
        ),
        (
            Dialect.VLLM,
            "documents[7] has 65 tokens together with the query; the limit is 64. "
            "Shorten the passage or send truncate_prompt_tokens=-1.",
        ),
        (
            Dialect.TEI,
            "texts[7] has 65 tokens together with the query; the limit is 64. "
            "Shorten the passage or send truncate=true.",
        ),
    ],
)
def test_a_pair_over_the_limit(dialect: Dialect, sentence: str) -> None:
    error = error_from_client(InvalidRequest("as the server says.", kind="pair_too_long", facts=FACTS))
    body = error_body(error, dialect)
    if dialect is Dialect.VLLM:
        body = body["error"]
    assert sentence in body.values()
    assert FACTS["passage"] in {body.get("passage_index"), body.get("detail", {}).get("passage_index")}


@pytest.mark.parametrize("facts", [{}, {"tokens": 70}])
def test_nvidias_words_need_both_numbers(facts: dict[str, int]) -> None:
    error = GatewayError("query_too_long", "the query is long; shorten it.", facts=facts)
    assert error_body(error, Dialect.NIM)["message"] == "the query is long; shorten it."


def test_an_error_without_facts_keeps_its_sentence() -> None:
    body = error_body(GatewayError("unknown_model", "passages is not a model; send another."), Dialect.TEI)
    assert body == {
        "error": "passages is not a model; send another.",
        "error_type": "Validation",
        "kind": "unknown_model",
    }
