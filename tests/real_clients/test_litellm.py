from __future__ import annotations

from typing import Any

import litellm
import pytest

from .conftest import MODEL, PASSAGES, QUERY, Expected


def ask(url: str, model: str, **fields: Any) -> list[dict[str, Any]]:
    answer = litellm.rerank(model=model, query=QUERY, documents=PASSAGES, api_base=url, api_key="none", **fields)
    return list(answer.results)


@pytest.mark.parametrize(
    "model", [f"nvidia_nim/{MODEL}", "nvidia_nim/nvidia/llama-3_2-nv-rerankqa-1b-v2", f"nvidia_nim/ranking/{MODEL}"]
)
def test_nvidia_nim(url: str, expected: Expected, model: str) -> None:
    results = ask(url, model, top_n=3)
    assert [result["index"] for result in results] == expected.order[:3]
    assert [result["relevance_score"] for result in results] == pytest.approx(expected.logits[:3], abs=1e-4)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (f"cohere/{MODEL}", ""),
        (f"jina_ai/{MODEL}", "/v1/rerank"),
        (f"hosted_vllm/{MODEL}", ""),
        (f"infinity/{MODEL}", "/infinity"),
        (f"huggingface/{MODEL}", ""),
    ],
)
def test_documents_and_texts(url: str, expected: Expected, model: str, path: str) -> None:
    results = ask(url + path, model, top_n=3, return_documents=True)
    assert [result["index"] for result in results] == expected.order[:3]
    assert [result["relevance_score"] for result in results] == pytest.approx(expected.scores[:3], abs=1e-5)
    assert [result["document"]["text"] for result in results] == [PASSAGES[index] for index in expected.order[:3]]


def test_a_refusal_arrives_as_one(url: str) -> None:
    with pytest.raises(litellm.BadRequestError, match="greater than or equal to 1"):
        ask(url, f"cohere/{MODEL}", top_n=0)
