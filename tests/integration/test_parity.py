import json

import numpy as np
import pytest

from packrank_backend.sigmoid import sigmoid
from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer
from tests.support.checkpoints import DIRECTORY, golden_questions
from tests.support.raw_request import ask

GOLDEN = json.loads((DIRECTORY / "bidirectional.json").read_text())


@pytest.mark.parametrize("place", range(len(golden_questions())))
def test_scores_over_grpc_are_hugging_faces(place: int, server: TritonServer) -> None:
    question = golden_questions()[place]
    answer = ask(server.grpc_endpoint, question.query.encode(), [passage.encode() for passage in question.passages])
    np.testing.assert_allclose(answer["logits"], GOLDEN["logits"][place], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(answer["token_counts"], GOLDEN["token_counts"][place])
    np.testing.assert_allclose(answer["scores"], sigmoid(np.array(GOLDEN["logits"][place])), rtol=0, atol=1e-4)
    assert [answer[name].dtype for name in ("scores", "logits", "token_counts")] == [np.float32, np.float32, np.int32]


def test_the_clients_ranking_is_hugging_faces(client: RerankClient) -> None:
    question, logits = golden_questions()[1], GOLDEN["logits"][1]
    results = client.rerank(question.query, question.passages)
    assert [result.index for result in results] == sorted(range(len(logits)), key=lambda index: -logits[index])
    assert [result.token_count for result in client.rerank(question.query, question.passages, top_n=3)] == [
        GOLDEN["token_counts"][1][result.index] for result in results[:3]
    ]


def test_truncate_end_scores_the_passages_beginning(server: TritonServer) -> None:
    words = b" word" * 3000
    answer = ask(server.grpc_endpoint, b"why?", [words, b"because"], {"truncate": "end"})
    kept = 1024 - int(ask(server.grpc_endpoint, b"why?", [b""])["token_counts"][0])
    same = ask(server.grpc_endpoint, b"why?", [b" word" * kept, b"because"])
    assert answer["token_counts"][0] == same["token_counts"][0] == 1024
    np.testing.assert_allclose(answer["logits"], same["logits"], rtol=0, atol=1e-5)


def test_an_empty_passage_is_scored(server: TritonServer) -> None:
    answer = ask(server.grpc_endpoint, b"why?", [b"", b"because"])
    assert np.isfinite(answer["logits"]).all()
    assert answer["token_counts"][0] == answer["token_counts"][1] - 1
