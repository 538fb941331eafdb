from __future__ import annotations

from typing import Any

import pytest

from packrank_client import RerankClient
from tests.support.running_gateway import RunningGateway

DOCUMENTS = ["Lima is in Peru", "Munich is in Germany."]


@pytest.mark.parametrize(
    ("path", "extra"),
    [
        ("/rerank", {"property": ""}),
        ("/rerank", {"property": None}),
        ("/weaviate/rerank", {}),
        ("/invocations", {"property": ""}),
    ],
)
def test_scores_in_the_order_of_the_documents(
    gateway: RunningGateway, client: RerankClient, path: str, extra: dict[str, Any]
) -> None:
    body = gateway.http.post(path, json={"query": "Where is Munich?", "documents": DOCUMENTS, **extra}).json()
    expected = sorted(client.rerank("Where is Munich?", DOCUMENTS), key=lambda result: result.index)
    assert [score["document"] for score in body["scores"]] == DOCUMENTS
    assert [score["score"] for score in body["scores"]] == pytest.approx([r.score for r in expected], abs=1e-6)
    assert body["query"] == "Where is Munich?"


def test_one_property(gateway: RunningGateway, client: RerankClient) -> None:
    body = gateway.http.post("/weaviate/rerank", json={"query": "why?", "property": "so"}).json()
    assert body["score"] == pytest.approx(client.rerank("why?", ["so"])[0].score, abs=1e-6)


def test_errors_are_where_weaviate_reads_them(gateway: RunningGateway) -> None:
    for body in ({"query": "q"}, {"query": "q", "documents": []}, {"documents": ["a"]}):
        answer = gateway.http.post("/weaviate/rerank", json=body)
        assert answer.status_code in {400, 422}
        assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("prefix", ["", "/weaviate"])
def test_weaviate_waits_for_it(gateway: RunningGateway, prefix: str) -> None:
    for path in ("/.well-known/live", "/.well-known/ready"):
        assert gateway.http.get(prefix + path).status_code == 204
    assert gateway.http.get(f"{prefix}/meta").json()["model_name"]
