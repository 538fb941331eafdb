"""NVIDIA's gRPC contract, called with tritonclient as in its documentation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import text_input

MODELS = ("nvidia_llama_3_2_nv_rerankqa_1b_v2", "nvidia_llama_nemotron_rerank_1b_v2")
QUERY = "which way should i go?"
PASSAGES = ["two roads diverged", "i shall be telling this with a sigh", "", "東京へ行く道"]


def infer(
    server: TritonServer, model: str, queries: Sequence[str], passages: Sequence[str], **parameters: Any
) -> dict[str, Any]:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        inputs = [
            text_input("query", [[text.encode()] for text in queries]),
            text_input("passage", [[text.encode()] for text in passages]),
        ]
        answer = client.infer(model, inputs, parameters=parameters or None, client_timeout=60)
        return {name: answer.as_numpy(name) for name in ("index", "logit", "token_count")}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, len(PASSAGES)])
def test_the_answer_is_the_rerankers(model: str, rows: int, server: TritonServer, client: RerankClient) -> None:
    answer = infer(server, model, [QUERY] * rows, PASSAGES)
    expected = client.rerank(QUERY, PASSAGES)
    assert answer["index"].dtype == answer["token_count"].dtype == np.int32
    assert answer["logit"].dtype == np.float32
    assert answer["index"].shape == answer["logit"].shape == (len(PASSAGES), 1)
    assert answer["index"][:, 0].tolist() == [result.index for result in expected]
    np.testing.assert_allclose(answer["logit"][:, 0], [result.logit for result in expected], rtol=0, atol=1e-5)
    counts = {result.index: result.token_count for result in expected}
    assert answer["token_count"].tolist() == [counts[index] for index in range(len(PASSAGES))]


@pytest.mark.parametrize("truncate", ["END", "end", "End"])
def test_truncate_in_any_case(truncate: str, server: TritonServer) -> None:
    answer = infer(server, MODELS[0], [QUERY], ["a", " word" * 3000], truncate=truncate)
    assert answer["token_count"].max() == 1024


@pytest.mark.parametrize(
    ("queries", "passages", "parameters", "says"),
    [
        ([QUERY], ["a", " word" * 3000], {}, "pair_too_long: passages[1] has"),
        ([QUERY], ["a", " word" * 3000], {"truncate": "none"}, "pair_too_long: passages[1] has"),
        ([QUERY], ["a"], {"truncate": "start"}, "invalid_truncate: "),
        ([QUERY, "how?"], ["a", "b"], {}, "invalid_batch: the rows of query differ"),
        ([QUERY] * 3, ["a", "b"], {}, "invalid_batch: query has 3 rows, passage 2"),
        ([" "], ["a"], {}, "empty_query: "),
        ([QUERY], ["a"] * 513, {}, "too_many_passages: "),
    ],
)
def test_refusals_keep_their_code(
    queries: list[str], passages: list[str], parameters: dict[str, str], says: str, server: TritonServer
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(server, MODELS[0], queries, passages, **parameters)
    assert says in caught.value.message()
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert infer(server, MODELS[0], [QUERY], ["a"])["index"].tolist() == [[0]]


def test_requests_at_the_same_time(server: TritonServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: infer(server, MODELS[n % 2], [QUERY], PASSAGES[: 1 + n % 4]), range(64)))
    for number, answer in enumerate(answers):
        assert sorted(answer["index"][:, 0].tolist()) == list(range(1 + number % 4))
