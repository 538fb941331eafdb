from __future__ import annotations

import pytest

from packrank_client import RerankClient
from tests.support.running_gateway import RunningGateway

QUERY = "Where is Munich?"
DOCUMENTS = ["The sky is blue.", "Munich is in Germany.", " word" * 3000]


def test_results_are_the_ensembles_and_documents_strings(gateway: RunningGateway, client: RerankClient) -> None:
    ask = {"query": QUERY, "documents": DOCUMENTS, "return_documents": True, "top_n": 2}
    body = gateway.http.post("/infinity/rerank", json=ask).json()
    expected = client.rerank(QUERY, DOCUMENTS, truncate="END")
    assert [result["document"] for result in body["results"]] == [DOCUMENTS[result.index] for result in expected[:2]]
    assert [r["relevance_score"] for r in body["results"]] == pytest.approx([r.score for r in expected[:2]], abs=1e-6)
    assert body["usage"]["total_tokens"] == sum(result.token_count for result in expected)
    assert body["object"] == "rerank"


def test_its_defaults(gateway: RunningGateway, client: RerankClient) -> None:
    ask = {"query": QUERY, "documents": DOCUMENTS, "raw_scores": True}
    results = gateway.http.post("/infinity/rerank", json=ask).json()["results"]
    expected = client.rerank(QUERY, DOCUMENTS, truncate="END")
    assert [result["relevance_score"] for result in results] == pytest.approx([r.logit for r in expected], abs=1e-5)
    assert not any("document" in result for result in results)
    assert {result["index"] for result in results if result.get("truncated")} == {2}


def test_its_errors_are_openais(gateway: RunningGateway) -> None:
    answer = gateway.http.post("/infinity/rerank", json={"query": QUERY, "documents": []})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("documents is empty")
