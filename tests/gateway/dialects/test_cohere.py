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
        ({"documents": 1}, "documents: "),
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


def test_a_long_query_is_cut_as_at_cohere(gateway: RunningGateway) -> None:
    for query in (" why" * 2107, " why" * 500):
        answer = gateway.ask(Dialect.COHERE, ["a", " word" * 3000], query)
        assert answer.status_code == 200
        assert {r["index"] for r in answer.json()["results"] if r.get("truncated")} >= {1}
    assert gateway.ask(Dialect.COHERE, ["a"], " why" * 2107, truncation=False).status_code == 400


def test_jinas_lengths(gateway: RunningGateway) -> None:
    whole = gateway.ask(Dialect.COHERE, [" word" * 100], "why are we here").json()["usage"]["total_tokens"]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"max_doc_length": 30}, whole - 70),
        ({"max_query_length": 1}, whole - 3),
    ]
    for fields, tokens in cases:
        body = gateway.ask(Dialect.COHERE, [" word" * 100], "why are we here", **fields).json()
        assert body["usage"]["total_tokens"] == tokens


@pytest.mark.parametrize("fields", [{"top_k": 1}, {"top_n": 1}, {"top_n": 1, "top_k": 3}])
def test_lightrags_top_k(gateway: RunningGateway, fields: dict[str, Any]) -> None:
    assert len(gateway.ask(Dialect.COHERE, DOCUMENTS, **fields).json()["results"]) == 1


@pytest.mark.parametrize("field", ["instruction", "instruct", "return_embeddings"])
def test_what_is_refused_is_named(gateway: RunningGateway, field: str) -> None:
    fields: dict[str, Any] = {field: "x"}
    answer = gateway.ask(Dialect.COHERE, **fields)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field}: this server refuses it")


@pytest.mark.parametrize("path", ["/v1/reranking", "/reranking"])
def test_llama_cpps_paths(gateway: RunningGateway, path: str) -> None:
    body = gateway.http.post(path, json={"query": QUERY, "documents": DOCUMENTS}).json()
    assert (body["object"], len(body["results"])) == ("list", len(DOCUMENTS))


def test_equal_documents_are_scored_once_and_keep_their_order(gateway: RunningGateway) -> None:
    same, other = "the same text, again and again", "another text"
    documents = [same] * 250 + [other] + [same] * 250
    body = gateway.ask(Dialect.COHERE, documents, QUERY).json()
    order = [result["index"] for result in body["results"] if result["index"] != 250]
    assert order == sorted(order)
    assert len({result["relevance_score"] for result in body["results"]}) == 2
    assert len(body["results"]) == 501


def test_an_equal_document_at_fault_is_named_by_its_first_place(gateway: RunningGateway) -> None:
    long = " word" * 3000
    answer = gateway.ask(Dialect.COHERE, ["a", "a", "a", long, long], QUERY, truncation=False)
    assert (answer.status_code, answer.json()["passage_index"]) == (400, 3)
    assert answer.json()["message"].startswith("documents[3] has")


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_vllms_fields_where_vllm_serves_them(gateway: RunningGateway, client: RerankClient, path: str) -> None:
    def ask(**fields: Any) -> Any:
        return gateway.http.post(path, json={"query": QUERY, "documents": [" word" * 100], **fields})

    (expected,) = client.rerank(QUERY, [" word" * 100])
    (result,) = ask(use_activation=False).json()["results"]
    assert result["relevance_score"] == pytest.approx(expected.logit, abs=1e-5)
    assert ask(truncate_prompt_tokens=50).json()["usage"]["total_tokens"] == 50
    assert ask(max_tokens_per_query=1).json()["usage"]["total_tokens"] < expected.token_count
    assert ask(request_id="mine").json()["id"] == "mine"
    for field, value in (("truncation_side", "left"), ("truncate_prompt_tokens", 5000), ("chat_template", "x")):
        refused = ask(**{field: value})
        assert (refused.status_code, refused.json()["message"].startswith(field)) == (400, True)
