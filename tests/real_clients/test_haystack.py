from __future__ import annotations

import pytest
from haystack import Document
from haystack_integrations.components.rankers.nvidia import NvidiaRanker

from .conftest import MODEL, PASSAGES, QUERY, Expected


@pytest.mark.parametrize("truncate", [None, "END"])
def test_nvidia_ranker(url: str, expected: Expected, truncate: str | None) -> None:
    ranker = NvidiaRanker(model=MODEL, api_url=f"{url}/v1", api_key=None, top_k=3, truncate=truncate)
    ranker.warm_up()
    ranked = ranker.run(query=QUERY, documents=[Document(content=text) for text in PASSAGES])["documents"]
    assert [document.content for document in ranked] == [PASSAGES[index] for index in expected.order[:3]]
    assert [document.score for document in ranked] == pytest.approx(expected.logits[:3], abs=1e-4)
