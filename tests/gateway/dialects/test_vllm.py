from __future__ import annotations

import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
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
