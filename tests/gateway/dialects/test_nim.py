from __future__ import annotations

import pytest

from packrank_client import RerankClient
from packrank_gateway.dialects.dialect import Dialect
from tests.support.running_gateway import RunningGateway

QUERY = "which way should i go?"
PASSAGES = ["two roads diverged", "i shall be telling this with a sigh", "", "東京へ行く道"]
MODEL = "nvidia/llama-3.2-nv-rerankqa-1b-v2"


def test_rankings_are_the_ensembles_in_descending_order(gateway: RunningGateway, client: RerankClient) -> None:
    answer = gateway.ask(Dialect.NIM, PASSAGES, QUERY, model=MODEL)
    expected = client.rerank(QUERY, PASSAGES)
    assert answer.status_code == 200
    body = answer.json()
    assert [rank["index"] for rank in body["rankings"]] == [result.index for result in expected]
    assert [rank["logit"] for rank in body["rankings"]] == pytest.approx([r.logit for r in expected], abs=1e-5)
    tokens = sum(result.token_count for result in expected)
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert all(rank.keys() == {"index", "logit"} for rank in body["rankings"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking",
        "/v1/retrieval/nvidia/llama-3.2-nv-rerankqa-1b-v2/reranking",
        "/v1/retrieval/nvidia/llama-nemotron-rerank-1b-v2/reranking",
        "/v1/retrieval/nvidia/reranking",
    ],
)
def test_the_hosted_endpoints_paths(gateway: RunningGateway, path: str) -> None:
    body = {"model": MODEL, "query": {"text": "q"}, "passages": [{"text": "a"}], "truncate": "END"}
    answer = gateway.http.post(path, json=body)
    assert answer.status_code == 200
    assert answer.json()["rankings"][0]["index"] == 0


def test_another_model_is_not_found(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.NIM, model="nvidia/nv-rerankqa-mistral-4b-v3")
    assert answer.status_code == 404
    assert MODEL in answer.json()["message"]
    body = {"query": {"text": "q"}, "passages": [{"text": "a"}]}
    assert gateway.http.post("/v1/retrieval/nvidia/other/reranking", json=body).status_code == 404


def test_an_over_long_passage_is_refused_in_nvidias_words(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.NIM, ["a", " word" * 3000, "b"])
    assert answer.status_code == 422
    body = answer.json()
    assert body["message"].startswith("Input length 3008 exceeds maximum allowed token size 1024")
    assert body["detail"] == {"kind": "pair_too_long", "passage_index": 1}
    assert body["object"] == "error"


def test_end_cuts_it_and_tells_which(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.NIM, ["a", " word" * 3000, "b"], truncate="END")
    assert answer.status_code == 200
    assert {rank["index"] for rank in answer.json()["rankings"] if rank.get("truncated")} == {1}
    assert answer.headers["x-truncated-passages"] == "1"


def test_an_over_long_query_is_refused_in_nvidias_words(gateway: RunningGateway) -> None:
    answer = gateway.ask(Dialect.NIM, ["a"], " why" * 3000, truncate="END")
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Input length 30")
    assert answer.json()["detail"]["kind"] == "query_too_long"


def test_the_number_of_passages_is_limited(gateway: RunningGateway) -> None:
    assert gateway.ask(Dialect.NIM, ["a"] * 16).status_code == 200
    answer = gateway.ask(Dialect.NIM, ["a"] * 17)
    assert answer.status_code == 422
    assert "the request has 17 passages; the limit is 16" in answer.json()["message"]


@pytest.mark.parametrize("truncate", ["START", "end", "", None, 1])
def test_an_unknown_truncate_is_refused(gateway: RunningGateway, truncate: object) -> None:
    answer = gateway.ask(Dialect.NIM, truncate=truncate)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("truncate: ")


def test_top_k_keeps_the_best_and_counts_all_tokens(gateway: RunningGateway) -> None:
    everything = gateway.ask(Dialect.NIM, PASSAGES, QUERY).json()
    best = gateway.ask(Dialect.NIM, PASSAGES, QUERY, top_k=2).json()
    assert [rank["index"] for rank in best["rankings"]] == [rank["index"] for rank in everything["rankings"]][:2]
    assert best["usage"] == everything["usage"]


def test_token_counts_when_asked_for(gateway: RunningGateway, client: RerankClient) -> None:
    body = gateway.ask(Dialect.NIM, PASSAGES, QUERY, return_token_counts=True).json()
    expected = [result.token_count for result in client.rerank(QUERY, PASSAGES)]
    assert [rank["token_count"] for rank in body["rankings"]] == expected


def test_models(gateway: RunningGateway) -> None:
    body = gateway.http.get("/v1/models").json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == [MODEL, "nvidia/llama-nemotron-rerank-1b-v2"]


def test_health(gateway: RunningGateway) -> None:
    live, ready = gateway.http.get("/v1/health/live"), gateway.http.get("/v1/health/ready")
    assert live.json() == {"object": "health.response", "message": "Service is live.", "status": "live"}
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_metadata(gateway: RunningGateway) -> None:
    body = gateway.http.get("/v1/metadata").json()
    assert body["modelInfo"][0]["shortName"] == MODEL
    assert body["version"]
    assert {"assetInfo", "licenseInfo", "repository_override", "selectedModelProfileId"} <= body.keys()


def test_license_manifest_and_version(gateway: RunningGateway) -> None:
    body = gateway.http.get("/v1/license").json()
    assert body.keys() == {"name", "path", "sha", "size", "url", "type", "content"}
    assert "Apache License" in body["content"]
    assert body["size"] == len(body["content"])
    assert gateway.http.get("/v1/manifest").json().keys() == {"manifest_file", "repository_override"}
    assert gateway.http.get("/v1/version").json()["release"] == gateway.http.get("/v1/metadata").json()["version"]


@pytest.mark.parametrize("place", ["query", "passages"])
def test_images_are_refused(gateway: RunningGateway, place: str) -> None:
    picture = {"text": "a", "image": "data:image/png;base64,AAAA"}
    body = {"query": picture if place == "query" else {"text": "q"}, "passages": [picture]}
    answer = gateway.http.post("/v1/ranking", json=body)
    assert answer.status_code == 422
    assert "image: this server refuses it: this model reads text only" in answer.json()["message"]


@pytest.mark.parametrize("top_k", [True, "one", 0])
def test_top_k_is_a_number(gateway: RunningGateway, top_k: object) -> None:
    answer = gateway.ask(Dialect.NIM, top_k=top_k)
    assert (answer.status_code, answer.json()["message"][:5]) == (422, "top_k")
