from __future__ import annotations

from typing import Any

import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
from tests.support.running_gateway import RunningGateway

QUERY = "What is Deep Learning?"
TEXTS = ["Deep Learning is ...", "a cheese", ""]


def test_a_bare_list_in_descending_order(gateway: RunningGateway, client: RerankClient) -> None:
    answer = gateway.ask(Dialect.TEI, TEXTS, QUERY)
    expected = client.rerank(QUERY, TEXTS)
    assert [rank["index"] for rank in answer.json()] == [result.index for result in expected]
    assert [rank["score"] for rank in answer.json()] == pytest.approx([r.score for r in expected], abs=1e-6)
    assert all(rank.keys() == {"index", "score"} for rank in answer.json())
    assert int(answer.headers["x-compute-tokens"]) == sum(result.token_count for result in expected)


def test_raw_scores_are_logits_and_texts_come_back(gateway: RunningGateway, client: RerankClient) -> None:
    ranks = gateway.ask(Dialect.TEI, TEXTS, QUERY, raw_scores=True, return_text=True, top_n=2).json()
    expected = client.rerank(QUERY, TEXTS, top_n=2)
    assert [rank["score"] for rank in ranks] == pytest.approx([r.logit for r in expected], abs=1e-5)
    assert [rank["text"] for rank in ranks] == [TEXTS[result.index] for result in expected]


@pytest.mark.parametrize("fields", [{}, {"truncate": None}, {"truncate": True, "truncation_direction": "Right"}])
def test_over_long_texts_are_cut_and_named(gateway: RunningGateway, fields: dict[str, Any]) -> None:
    ranks = gateway.ask(Dialect.TEI, ["a", " word" * 3000], **fields).json()
    assert {rank["index"] for rank in ranks if rank.get("truncated")} == {1}


def test_without_truncation_an_over_long_text_is_refused(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.TEI, ["a", " word" * 3000], truncate=False)
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "Validation"
    assert answer.json()["passage_index"] == 1
    assert answer.json()["error"].startswith("texts[1] has 3008 tokens")
    assert answer.json()["error"].endswith("Shorten the passage or send truncate=true.")


def test_truncation_from_the_left_is_refused(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.TEI, truncation_direction="Left")
    assert answer.status_code == 422
    assert "truncation_direction" in answer.json()["error"]
    assert "Right" in answer.json()["error"]


def test_an_empty_list_is_teis_own_error(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.TEI, [])
    assert (answer.status_code, answer.json()["error_type"]) == (400, "Empty")


@pytest.mark.parametrize(
    ("texts", "query", "status", "error_type"),
    [(["a"] * 17, "q", 413, "Validation"), (["a"], " ", 400, "Empty"), (["a"], 1, 422, "Validation")],
)
def test_teis_statuses(gateway: RunningGateway, texts: list[str], query: Any, status: int, error_type: str) -> None:
    answer = gateway.ask(Dialect.TEI, texts, query)
    assert (answer.status_code, answer.json()["error_type"]) == (status, error_type)


def test_the_longer_text_is_cut_first(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.TEI, ["a", " word" * 3000], " why" * 2107, truncate=True)
    assert answer.status_code == 200
    assert len(answer.json()) == 2


def test_predict_scores_pairs_with_queries_of_their_own(gateway: RunningGateway, client: RerankClient) -> None:
    pairs = [["why?", "b"], ["how?", "a"], ["why?", "a"]]
    predictions = gateway.http.post("/predict", json={"inputs": pairs, "raw_scores": True}).json()
    expected = [client.rerank(query, [text])[0].logit for query, text in pairs]
    assert [prediction["score"] for (prediction,) in predictions] == pytest.approx(expected, abs=1e-5)
    assert predictions[0][0]["label"] == "LABEL_0"
    (single,) = gateway.http.post("/predict", json={"inputs": pairs[1]}).json()
    assert single["score"] == pytest.approx(client.rerank("how?", ["a"])[0].score, abs=1e-6)


@pytest.mark.parametrize(
    "inputs", ["a", ["a"], [["a"]], [], ["a", "b", "c"], [["a", "b"], ["c"]], [["a", 1]], None, {}]
)
def test_predict_needs_pairs(gateway: RunningGateway, inputs: object) -> None:
    answer = gateway.http.post("/predict", json={"inputs": inputs})
    assert (answer.status_code, answer.json()["error_type"]) == (422, "Validation")
    assert answer.json()["error"].startswith("inputs")


def test_many_queries_in_one_request(gateway: RunningGateway, client: RerankClient) -> None:
    pairs = [[f"question {number}?", "an answer"] for number in range(600)]
    data = gateway.http.post(
        "/score", json={"text_1": [query for query, _ in pairs], "text_2": [text for _, text in pairs]}
    ).json()["data"]
    assert [item["index"] for item in data] == list(range(600))
    for place in (0, 299, 599):
        (expected,) = client.rerank(pairs[place][0], [pairs[place][1]])
        assert data[place]["score"] == pytest.approx(expected.score, abs=1e-6)


def test_a_pair_at_fault_is_named_by_its_place(gateway: RunningGateway) -> None:
    pairs = [["why?", "a"], ["how?", "b"], ["why?", " word" * 3000]]
    answer = gateway.http.post("/predict", json={"inputs": pairs, "truncate": False})
    assert (answer.status_code, answer.json()["passage_index"]) == (413, 2)


def test_info_shows_the_model_and_every_limit(gateway: RunningGateway) -> None:
    body = gateway.http.get("/info").json()
    assert body["model_id"] == "nvidia/llama-3.2-nv-rerankqa-1b-v2"
    assert body["max_input_length"] == 1024
    assert body["max_client_batch_size"] == 16
    assert body["model_dtype"] == "fp32"
    assert "reranker" in body["model_type"]
    assert body["limits"]["max_body_bytes"] == 32 << 20
    assert body["limits"]["max_documents"] == 600


def test_health(gateway: RunningGateway) -> None:
    assert gateway.http.get("/health").status_code == 200
