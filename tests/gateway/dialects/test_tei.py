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
    assert answer.status_code == 422
    assert answer.json()["error_type"] == "Tokenizer"
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
