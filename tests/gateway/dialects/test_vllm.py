from __future__ import annotations

from typing import Any

import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.dialects.vllm import SCORE_FORMS
from tests.support.running_gateway import RunningGateway

QUERY = "Where is Munich?"
DOCUMENTS = ["Munich is in Germany.", "The sky is blue."]


def test_results_are_the_ensembles_with_their_documents(gateway: RunningGateway, client: RerankClient) -> None:
    body = gateway.ask(Dialect.VLLM, DOCUMENTS, QUERY, top_n=0).json()
    expected = client.rerank(QUERY, DOCUMENTS)
    assert [result["index"] for result in body["results"]] == [result.index for result in expected]
    assert [r["relevance_score"] for r in body["results"]] == pytest.approx([r.score for r in expected], abs=1e-6)
    assert [result["document"] for result in body["results"]] == [{"text": DOCUMENTS[r.index]} for r in expected]
    assert body["usage"]["total_tokens"] == sum(result.token_count for result in expected)
    assert body["model"]


def test_infinitys_fields(gateway: RunningGateway, client: RerankClient) -> None:
    body = gateway.ask(Dialect.VLLM, DOCUMENTS, QUERY, raw_scores=True, return_documents=False, top_n=1).json()
    (expected,) = client.rerank(QUERY, DOCUMENTS, top_n=1)
    (result,) = body["results"]
    assert result == {"index": expected.index, "relevance_score": pytest.approx(expected.logit, abs=1e-5)}


def test_an_over_long_document_is_refused_as_vllm_does(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.VLLM, ["a", " word" * 3000])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["passage_index"] == 1
    assert answer.json()["error"]["message"].startswith("documents[1] has 3008 tokens")
    assert answer.json()["error"]["message"].endswith("Shorten the passage or send truncate_prompt_tokens=-1.")
    cut = gateway.ask(Dialect.VLLM, ["a", " word" * 3000], truncate_prompt_tokens=-1).json()
    assert {result["index"] for result in cut["results"] if result.get("truncated")} == {1}


@pytest.mark.parametrize("field", ["use_activation", "activation", "softmax"])
def test_without_activation_scores_are_logits(gateway: RunningGateway, client: RerankClient, field: str) -> None:
    fields: dict[str, Any] = {field: False}
    body = gateway.ask(Dialect.VLLM, DOCUMENTS, QUERY, **fields).json()
    expected = client.rerank(QUERY, DOCUMENTS)
    assert [r["relevance_score"] for r in body["results"]] == pytest.approx([r.logit for r in expected], abs=1e-5)


def test_limits_in_tokens_are_honoured(gateway: RunningGateway) -> None:
    long = [" word" * 100]
    whole = gateway.ask(Dialect.VLLM, long).json()["usage"]["total_tokens"]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"truncate_prompt_tokens": 50}, 50),
        ({"max_tokens_per_doc": 30}, whole - 70),
        ({"max_tokens_per_query": 1}, whole - 1),
        ({"max_tokens_per_query": 0, "max_tokens_per_doc": 0}, whole),
    ]
    for fields, tokens in cases:
        assert gateway.ask(Dialect.VLLM, long, **fields).json()["usage"]["total_tokens"] == tokens


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"truncate_prompt_tokens": 1025}, "truncate_prompt_tokens is 1025"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens is 0"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens: "),
        ({"truncation_side": "left"}, "truncation_side: this server refuses it: the model's prompt begins with"),
        ({"instruction": "Judge well."}, "instruction: this server refuses it: the model was trained with one prompt"),
        ({"chat_template": "{{ query }}"}, "chat_template: "),
        ({"priority": 1}, "priority: "),
        ({"priority": False}, "priority: "),
        ({"top_n": True}, "top_n: send a whole number"),
        ({"top_n": "three"}, "top_n: "),
        ({"top_n": 1.5}, "top_n: "),
        ({"return_documents": 1}, "return_documents: "),
        ({"use_activation": "maybe"}, "use_activation: "),
    ],
)
def test_what_is_refused_is_named(gateway: RunningGateway, fields: dict[str, Any], says: str) -> None:
    answer = gateway.ask(Dialect.VLLM, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(says)


def test_values_that_ask_for_nothing_are_accepted(gateway: RunningGateway) -> None:
    fields: dict[str, Any] = {
        "truncation_side": "right",
        "instruction": "",
        "priority": 0,
        "user": "me",
        "padding": "max_length",
    }
    answer = gateway.ask(Dialect.VLLM, **fields, truncate_prompt_tokens=None, top_n=2.0, request_id="mine", seed=1)
    assert (answer.status_code, answer.json()["id"]) == (200, "mine")
    assert answer.headers["x-ignored-fields"] == "seed"


def test_a_query_too_long_blames_no_document(gateway: RunningGateway) -> None:
    error = gateway.ask(Dialect.VLLM, ["a"], " why" * 2107).json()["error"]
    assert error["kind"] == "query_too_long"
    assert "passage_index" not in error


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ('{"text": "b", "title": "x \\ud83d"}', "invalid_utf8"),
        ('{"text": "b", "x \\ud83d": 1}', "invalid_utf8"),
        ('{"text": "b \\ud83d"}', "invalid_utf8"),
        ('"b \\ud83d"', "invalid_utf8"),
        ('{"text": "b", "x": ' + "[" * 255 + "]" * 255 + "}", "invalid_field"),
        ('{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}', "invalid_field"),
        ('{"text": "b", "image": "x"}', "invalid_field"),
    ],
)
def test_a_document_that_cannot_come_back_is_refused_first(gateway: RunningGateway, document: str, kind: str) -> None:
    body = f'{{"query": "q", "documents": ["a", {document}]}}'
    answer = gateway.http.post("/rerank", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["x-error-kind"]) == (400, kind)
    assert answer.json()["error"]["passage_index"] == 1
    assert "rerank" not in answer.headers["server-timing"]  # nothing was scored


def test_one_document_and_lists_of_text_parts(gateway: RunningGateway) -> None:
    parts = {"content": [{"type": "text", "text": "Munich is"}, {"type": "text", "text": "in Germany."}]}
    plain = gateway.ask(Dialect.VLLM, ["Munich is\nin Germany."], QUERY).json()["results"]
    for documents in (parts, [parts], "Munich is\nin Germany.", {"text": "Munich is\nin Germany."}):
        request = {"query": {"content": [{"type": "text", "text": QUERY}]}, "documents": documents}
        answer = gateway.http.post("/rerank", json=request).json()["results"]
        assert [r["relevance_score"] for r in answer] == [r["relevance_score"] for r in plain]


@pytest.mark.parametrize("names", SCORE_FORMS)
@pytest.mark.parametrize("path", ["/score", "/v1/score", "/invocations"])
def test_score(gateway: RunningGateway, client: RerankClient, path: str, names: tuple[str, str]) -> None:
    first, second = names
    body = gateway.http.post(path, json={first: QUERY, second: DOCUMENTS}).json()
    by_place = sorted(client.rerank(QUERY, DOCUMENTS), key=lambda result: result.index)
    assert [item["score"] for item in body["data"]] == pytest.approx([r.score for r in by_place], abs=1e-6)
    assert [(item["index"], item["object"]) for item in body["data"]] == [(0, "score"), (1, "score")]
    assert (body["object"], body["usage"]["total_tokens"]) == ("list", sum(r.token_count for r in by_place))
    pairs = {first: [QUERY, "why?"], second: DOCUMENTS, "use_activation": False}
    data = gateway.http.post(path, json=pairs).json()["data"]
    assert data[1]["score"] == pytest.approx(client.rerank("why?", DOCUMENTS[1:])[0].logit, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"text_1": ["a", "b"], "text_2": ["c"]}, "text_1 has 2 texts and text_2 1"),
        ({"text_1": "a"}, "two lists of texts are required"),
        ({"text_1": "a", "text_2": []}, "text_2 is empty"),
        ({"text_1": "a", "text_2": ["c"] * 601}, "the request has 601 pairs; the limit is 600"),
        ({"text_1": "a", "text_2": [" word" * 3000]}, "text_2[0] has 300"),
    ],
)
def test_what_score_refuses(gateway: RunningGateway, body: dict[str, Any], says: str) -> None:
    answer = gateway.http.post("/v1/score", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(says)


def test_the_body_tells_the_dialects_of_the_path_apart(gateway: RunningGateway) -> None:
    both = gateway.http.post("/rerank", json={"query": "q", "texts": ["a"], "documents": ["a", "b"]})
    assert isinstance(both.json(), list)
    neither = gateway.http.post("/rerank", json={"query": "q"})
    assert (neither.status_code, neither.json()["error"]) == (
        422,
        "texts: required, and missing. GET /docs shows every field.",
    )
    wrong = gateway.http.post("/rerank", json={"query": 1, "documents": ["a"]})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, 400)
