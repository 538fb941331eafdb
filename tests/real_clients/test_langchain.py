from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank

from .conftest import MODEL, PASSAGES, QUERY, Expected


@pytest.mark.parametrize("settings", [{}, {"model": MODEL}, {"model": MODEL, "truncate": "END"}])
def test_nvidia_rerank(url: str, expected: Expected, settings: dict[str, str]) -> None:
    ranker = NVIDIARerank(base_url=f"{url}/v1", top_n=3, **settings)
    documents = ranker.compress_documents(query=QUERY, documents=[Document(page_content=text) for text in PASSAGES])
    assert [document.page_content for document in documents] == [PASSAGES[index] for index in expected.order[:3]]
    scores = [document.metadata["relevance_score"] for document in documents]
    assert scores == pytest.approx(expected.logits[:3], abs=1e-4)


def test_more_documents_than_one_of_its_batches(url: str) -> None:
    ranker = NVIDIARerank(base_url=f"{url}/v1", model=MODEL, top_n=70)
    documents = [Document(page_content=f"number {number}") for number in range(70)]
    assert len(ranker.compress_documents(query=QUERY, documents=documents)) == 70


def test_an_over_long_document_is_refused_in_words(url: str) -> None:
    ranker = NVIDIARerank(base_url=f"{url}/v1", model=MODEL, truncate="NONE")
    with pytest.raises(Exception, match="exceeds maximum allowed token size 1024"):
        ranker.compress_documents(query=QUERY, documents=[Document(page_content=" word" * 2000)])


def test_it_finds_the_model(url: str) -> None:
    assert MODEL in {model.id for model in NVIDIARerank(base_url=f"{url}/v1").available_models}
