"""A deadline reaches the models of a real server."""

from __future__ import annotations

import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from packrank_client import DeadlineExceeded
from packrank_client._triton.grpc_status import error_from_status
from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import ask, number_input, text_input


def scored(client: grpc.InferenceServerClient) -> int:
    (model,) = client.get_inference_statistics("ranker").model_stats
    return int(model.inference_stats.success.count)


def test_an_expired_request_is_refused_and_not_scored(server: TritonServer) -> None:
    ask(server.grpc_endpoint, b"why?", [b"because"])
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        before = scored(client)
        inputs = [text_input("query", [[b"why?"]]), text_input("passages", [[b" word" * 900] * 12])]
        with pytest.raises(InferenceServerException, match="Request timeout expired") as raised:
            client.infer("reranker", inputs, timeout=1)
        error = error_from_status("UNAVAILABLE", raised.value.message(), endpoint="x")
        assert isinstance(error, DeadlineExceeded)
        assert scored(client) == before


def test_the_ranker_looks_at_the_deadline_itself(server: TritonServer) -> None:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:

        def rank(moment: int) -> object:
            inputs = [number_input("input_ids", [[1] * 8]), number_input("seq_lens", [[4, 4]])]
            return client.infer("ranker", [*inputs, number_input("max_len_carrier", [[moment] * 4])])

        assert rank(0)
        assert rank(2**31 - 1)
        with pytest.raises(InferenceServerException, match=r"deadline_exceeded \{\}: Request timeout expired"):
            rank(1)


def test_the_tokenizer_turns_the_time_left_into_a_moment(server: TritonServer) -> None:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        inputs = [text_input("query", [[b"why?"]]), text_input("passages", [[b"because"]])]

        def moment(**options: int) -> int:
            return int(client.infer("tokenizer", inputs, **options).as_numpy("max_len_carrier")[0, 0])

        assert moment() == 0
        assert moment(timeout=60_000_000) > moment(timeout=30_000_000) > 0
