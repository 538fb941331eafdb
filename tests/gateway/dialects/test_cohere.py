from __future__ import annotations

from typing import Any

import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
from tests.support.running_gateway import RunningGateway

QUERY = "What is the capital of the United States?"
DOCUMENTS = ["Carson City is in Nevada.", "Saipan", "Washington, D.C.", "Capital punishment"]


@pytest.mark.parametrize(("path", "version"), [("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_results_are_the_ensembles(gateway: RunningGateway, client: RerankClient, path: str, version: str) -> None:
    body = gateway.http.post(path, json={"query": QUERY, "documents": DOCUMENTS, "top_n": 3}).json()
    expected = client.rerank(QUERY, DOCUMENTS)
    assert [result["index"] for result in body["results"]] == [result.index for result in expected[:3]]
    assert [r["relevance_score"] for r in body["results"]] == pytest.approx([r.score for r in expected[:3]], abs=1e-6)
    assert body["meta"]["api_version"]["version"] == version
    assert body["meta"]["billed_units"] == {"search_units": 1}
    assert body["meta"]["tokens"]["input_tokens"] == sum(result.token_count for result in expected)
    assert body["usage"]["total_tokens"] == body["meta"]["tokens"]["input_tokens"]
    assert all(result.keys() == {"index", "relevance_score"} for result in body["results"])
    assert body["id"]
    assert "warnings" not in body["meta"]


def test_documents_come_back_as_they_were(gateway: RunningGateway) -> None:
    documents = ["a", {"text": "b", "source": {"page": 7}}]
    body = gateway.ask(Dialect.COHERE, documents, return_documents=True).json()
    found = {result["index"]: result["document"] for result in body["results"]}
    assert found == {0: {"text": "a"}, 1: documents[1]}


def test_rank_fields_say_what_is_scored(gateway: RunningGateway, client: RerankClient) -> None:
    documents = [{"title": "Tokyo", "body": "a city", "text": "not scored"}]
    request = {"query": QUERY, "documents": documents, "rank_fields": ["title", "body"]}
    (result,) = gateway.http.post("/v1/rerank", json=request).json()["results"]
    (expected,) = client.rerank(QUERY, ["title: Tokyo\nbody: a city"])
    assert result["relevance_score"] == pytest.approx(expected.score, abs=1e-6)


@pytest.mark.parametrize("document", [{}, {"text": None}, {"title": "b"}])
def test_an_object_without_text_is_refused(gateway: RunningGateway, document: object) -> None:
    answer = gateway.ask(Dialect.COHERE, ["a", document])
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("documents[1] has no string in its field 'text'")
    assert answer.json()["passage_index"] == 1


def test_over_long_documents_are_cut_and_named(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.COHERE, ["a", " word" * 3000])
    assert answer.status_code == 200
    assert {result["index"] for result in answer.json()["results"] if result.get("truncated")} == {1}


def test_max_tokens_per_doc_cuts_the_document(gateway: RunningGateway, client: RerankClient) -> None:
    body = gateway.ask(Dialect.COHERE, [" word" * 30], max_tokens_per_doc=5).json()
    (expected,) = client.rerank("why?", [" word" * 5])
    assert body["results"][0]["relevance_score"] == pytest.approx(expected.score, abs=1e-6)
    assert body["results"][0]["truncated"]
    assert body["usage"]["total_tokens"] == expected.token_count


def test_more_documents_than_a_request_to_the_server_holds(gateway: RunningGateway, client: RerankClient) -> None:
    documents = [f"number {number}" for number in range(600)]
    body = gateway.ask(Dialect.COHERE, documents).json()
    assert sorted(result["index"] for result in body["results"]) == list(range(600))
    assert body["meta"]["billed_units"] == {"search_units": 6}
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert gateway.ask(Dialect.COHERE, [*documents, "one more"]).status_code == 400


def test_another_vendors_model_brings_a_warning(gateway: RunningGateway) -> None:
    body = gateway.ask(Dialect.COHERE, model="rerank-v3.5").json()
    assert body["model"] == "nvidia/llama-3.2-nv-rerankqa-1b-v2"
    assert body["meta"]["warnings"] == [
        "model 'rerank-v3.5' is not served here: nvidia/llama-3.2-nv-rerankqa-1b-v2 answered."
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"top_n": 0}, "top_n: "),
        ({"top_n": "many"}, "top_n: "),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc: "),
        ({"max_tokens_per_doc": 10**30}, "max_tokens_per_doc: "),
        ({"documents": []}, "documents is empty"),
        ({"documents": "a"}, "documents: "),
        ({"documents": [1]}, "documents[0]: "),
        ({"query": " "}, "query is empty"),
        ({"query": None}, "query: "),
    ],
)
def test_invalid_values_are_bad_requests(gateway: RunningGateway, fields: dict[str, Any], says: str) -> None:
    answer = gateway.ask(Dialect.COHERE, **fields)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(says)
    assert answer.json()["detail"] == answer.json()["message"]
