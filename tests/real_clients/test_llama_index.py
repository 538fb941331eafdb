from __future__ import annotations

import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.nvidia_rerank import NVIDIARerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from .conftest import MODEL, PASSAGES, QUERY, Expected


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(PASSAGES)]


@pytest.mark.parametrize("settings", [{}, {"model": MODEL}])
def test_nvidia_rerank(url: str, expected: Expected, nodes: list[NodeWithScore], settings: dict[str, str]) -> None:
    ranker = NVIDIARerank(base_url=f"{url}/v1", top_n=3, **settings)
    ranked = ranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [int(node.node.id_) for node in ranked] == expected.order[:3]
    assert [node.score for node in ranked] == pytest.approx(expected.logits[:3], abs=1e-4)


def test_text_embedding_inference(url: str, expected: Expected, nodes: list[NodeWithScore]) -> None:
    ranker = TextEmbeddingInference(base_url=url, top_n=3)
    ranked = ranker.postprocess_nodes(nodes, query_str=QUERY)
    assert [int(node.node.id_) for node in ranked] == expected.order[:3]
    assert [node.score for node in ranked] == pytest.approx(expected.scores[:3], abs=1e-5)
