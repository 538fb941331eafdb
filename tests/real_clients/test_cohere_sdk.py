from __future__ import annotations

import cohere
import pytest

from .conftest import PASSAGES, QUERY, Expected


def test_v2(url: str, expected: Expected) -> None:
    answer = cohere.ClientV2(api_key="none", base_url=url).rerank(
        model="rerank-v3.5", query=QUERY, documents=PASSAGES, top_n=3
    )
    assert [result.index for result in answer.results] == expected.order[:3]
    assert [result.relevance_score for result in answer.results] == pytest.approx(expected.scores[:3], abs=1e-5)
    assert answer.id
    assert answer.meta.billed_units.search_units == 1
    assert answer.meta.warnings == [
        "model 'rerank-v3.5' is not served here: nvidia/llama-3.2-nv-rerankqa-1b-v2 answered."
    ]


def test_v1(url: str, expected: Expected) -> None:
    answer = cohere.Client(api_key="none", base_url=url).rerank(
        query=QUERY, documents=[{"text": text} for text in PASSAGES], top_n=3, return_documents=True
    )
    assert [result.index for result in answer.results] == expected.order[:3]
    assert [result.document.text for result in answer.results] == [PASSAGES[index] for index in expected.order[:3]]


def test_its_errors_carry_the_sentence(url: str) -> None:
    with pytest.raises(cohere.BadRequestError, match="documents is empty; send at least one"):
        cohere.ClientV2(api_key="none", base_url=url).rerank(model="m", query=QUERY, documents=[])
