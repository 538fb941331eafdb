"""What applications send, as their public source writes it, and how they read the answer.

Each entry names the file that its request and its reader follow. The applications themselves are too large to install.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from packrank_client import RerankClient
from packrank_gateway.distinct_passages import sigmoid
from tests.support.running_gateway import RunningGateway

QUERY = "Where is Munich?"
DOCUMENTS = ["Lima is in Peru.", "Munich is in Germany.", "The sky is blue."]


def by_index(body: Any) -> list[float]:
    """Return the scores of `results` in the order of the documents."""
    return [result["relevance_score"] for result in sorted(body["results"], key=lambda result: result["index"])]


def ragflow_xinference(body: Any) -> list[float]:
    tokens = body["meta"]["tokens"]
    assert tokens["input_tokens"] + tokens["output_tokens"] > 0
    return by_index(body)


def ragflow_jina(body: Any) -> list[float]:
    assert body["usage"]["total_tokens"] > 0
    return by_index(body)


def dify_plugin_sdk(body: Any) -> list[float]:
    for result in body["results"]:
        assert result["document"]["text"] == DOCUMENTS[result["index"]]
    return by_index(body)


def tei_ranks(body: Any) -> list[float]:
    return [rank["score"] for rank in sorted(body, key=lambda rank: rank["index"])]


def nim_rankings(body: Any) -> list[float]:
    """Return the scores of the logits, in the order of the passages."""
    return [sigmoid(rank["logit"]) for rank in sorted(body["rankings"], key=lambda rank: rank["index"])]


@dataclass(frozen=True)
class Recorded:
    """One application: where its code is, what it posts and how it reads the scores."""

    source: str
    path: str
    body: dict[str, Any]
    read: Callable[[Any], list[float]] = by_index
    headers: dict[str, str] = field(default_factory=dict)


JINA = {"model": "reranker", "query": QUERY, "documents": DOCUMENTS, "top_n": len(DOCUMENTS)}
RECORDED = {
    "Open WebUI": Recorded(
        "open-webui/open-webui: backend/open_webui/retrieval/models/external.py",
        "/v1/rerank",
        JINA,
        headers={"Authorization": "Bearer none", "X-OpenWebUI-User-Name": "me", "X-OpenWebUI-User-Role": "user"},
    ),
    "Dify, OpenAI-compatible": Recorded(
        "langgenius/dify-official-plugins: models/openai_api_compatible/models/rerank/rerank.py",
        "/v1/rerank",
        JINA,
        headers={"Authorization": ""},
    ),
    "Dify, vision": Recorded(
        "langgenius/dify-official-plugins: models/openai_api_compatible/models/rerank/rerank.py, _invoke_multimodal",
        "/rerank",
        JINA | {"documents": [{"content": [{"type": "text", "text": text}]} for text in DOCUMENTS]},
    ),
    "Dify, plugin SDK": Recorded(
        "langgenius/dify-plugin-sdks: dify_plugin/interfaces/model/openai_compatible/rerank.py",
        "/v1/rerank",
        JINA | {"return_documents": True},
        dify_plugin_sdk,
    ),
    "RAGFlow, Xinference": Recorded(
        "infiniflow/ragflow: rag/llm/rerank_model.py, XInferenceRerank",
        "/v1/rerank",
        {
            "model": "bge-reranker-v2-m3",
            "query": QUERY,
            "return_documents": "true",
            "return_len": "true",
            "documents": DOCUMENTS,
        },
        ragflow_xinference,
    ),
    "RAGFlow, Jina": Recorded(
        "infiniflow/ragflow: rag/llm/rerank_model.py, JinaRerank", "/v1/rerank", JINA, ragflow_jina
    ),
    "LightRAG": Recorded(
        "HKUDS/LightRAG: lightrag/rerank.py, generic_rerank_api",
        "/v1/rerank",
        JINA | {"return_documents": False},
    ),
    "LightRAG, older": Recorded(
        "HKUDS/LightRAG: lightrag/rerank.py, custom_rerank", "/rerank", {**JINA, "top_k": len(DOCUMENTS)}
    ),
    "Xinference's client": Recorded(
        "xorbitsai/inference: xinference/client/restful/restful_client.py, RESTfulRerankModelHandle",
        "/v1/rerank",
        JINA
        | {"top_n": None, "max_chunks_per_doc": None, "return_documents": None, "return_len": None, "kwargs": "{}"},
    ),
    "Elasticsearch, hugging_face": Recorded(
        "elastic/elasticsearch: x-pack/plugin/inference, HuggingFaceRerankRequestEntity",
        "/rerank",
        {"texts": DOCUMENTS, "query": QUERY, "return_text": True, "top_n": len(DOCUMENTS)},
        tei_ranks,
    ),
    "Elasticsearch, jinaai": Recorded(
        "elastic/elasticsearch: x-pack/plugin/inference, JinaAIRerankRequest",
        "/v1/rerank",
        JINA | {"return_documents": False},
    ),
    "Elasticsearch, nvidia": Recorded(
        "elastic/elasticsearch: x-pack/plugin/inference, NvidiaRerankRequestEntity",
        "/v1/ranking",
        {
            "model": "nvidia/llama-3.2-nv-rerankqa-1b-v2",
            "query": {"text": QUERY},
            "passages": [{"text": text} for text in DOCUMENTS],
        },
        nim_rankings,
    ),
    "OpenSearch on SageMaker": Recorded(
        "opensearch-project/ml-commons: docs/tutorials/rerank, BAAI/bge-reranker-v2-m3 on SageMaker",
        "/invocations",
        {"query": QUERY, "texts": DOCUMENTS},
        tei_ranks,
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_application_reads_the_ensembles_scores(name: str, gateway: RunningGateway, client: RerankClient) -> None:
    sent = RECORDED[name]
    answer = gateway.http.post(sent.path, json=sent.body, headers=sent.headers)
    assert answer.status_code == 200, answer.text
    expected = sorted(client.rerank(QUERY, DOCUMENTS), key=lambda result: result.index)
    assert sent.read(answer.json()) == pytest.approx([result.score for result in expected], abs=1e-6)
