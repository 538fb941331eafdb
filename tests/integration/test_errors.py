from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from packrank_backend.errors import REFUSALS, ErrorKind
from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import ask, number_input, text_input

LONG = b" word" * 3000

# kind -> (model, inputs, request parameters, text of the message)
ROWS: dict[ErrorKind, tuple[str, list[Any], dict[str, Any], str]] = {
    ErrorKind.INVALID_UTF8: ("reranker", [[[b"why?"]], [[b"a", b"\xff"]]], {}, "passages[1] is not valid UTF-8"),
    ErrorKind.EMPTY_QUERY: ("reranker", [[[b""]], [[b"a"]]], {}, "query is empty"),
    ErrorKind.NO_PASSAGES: ("reranker", [[[b"why?"]], [[]]], {}, "passages is empty"),
    ErrorKind.TOO_MANY_PASSAGES: ("reranker", [[[b"why?"]], [[b"a"] * 513]], {}, "has 513 passages; the limit is 512"),
    ErrorKind.TOO_MANY_TOKENS: (
        "reranker",
        [[[b"why?"]], [[LONG] * 17]],
        {"truncate": "END"},
        "has 17408 tokens in 17 pairs; the limit is 16384",
    ),
    ErrorKind.QUERY_TOO_LONG: ("reranker", [[[LONG]], [[b"a"]]], {"truncate": "END"}, "leaves no room"),
    ErrorKind.PAIR_TOO_LONG: ("reranker", [[[b"why?"]], [[b"a", LONG]]], {}, "passages[1] has 3008 tokens"),
    ErrorKind.INVALID_TRUNCATE: ("reranker", [[[b"why?"]], [[b"a"]]], {"truncate": "LEFT"}, "truncate is 'LEFT'"),
    ErrorKind.INVALID_MAX_PASSAGE_TOKENS: (
        "reranker",
        [[[b"why?"]], [[b"a"]]],
        {"max_passage_tokens": 0},
        "max_passage_tokens is 0",
    ),
    ErrorKind.INVALID_MAX_TOKENS: (
        "reranker",
        [[[b"why?"]], [[b"a"]]],
        {"max_query_tokens": 0},
        "max_query_tokens is 0",
    ),
    ErrorKind.INVALID_BATCH: ("tokenizer", [[[b"why?"], [b"how?"]], [[b"a"], [b"b"]]], {}, "has batch dimension 2"),
    ErrorKind.INVALID_PACKING: ("ranker", [[[1, 2, 3]], [[2, 2]], [[0, 0]]], {}, "seq_lens sum to 4"),
    ErrorKind.DEADLINE_EXCEEDED: ("ranker", [[[1, 2, 3, 4]], [[2, 2]], [[1, 1]]], {}, "Request timeout expired"),
}


def send(server: TritonServer, model: str, rows: list[Any], parameters: dict[str, Any]) -> None:
    inputs = (
        [number_input(name, row) for name, row in zip(("input_ids", "seq_lens", "max_len_carrier"), rows, strict=True)]
        if model == "ranker"
        else [text_input(name, row) for name, row in zip(("query", "passages"), rows, strict=True)]
    )
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        client.infer(model, inputs, parameters=parameters or None, client_timeout=60)


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_refusal_has_its_code_and_harms_no_neighbour(kind: ErrorKind, server: TritonServer) -> None:
    model, rows, parameters, text = ROWS[kind]
    good = (server.grpc_endpoint, b"why?", [b"because", b"of it"])
    expected = ask(*good)["logits"]
    with ThreadPoolExecutor(12) as pool:
        neighbours = [pool.submit(ask, *good) for _ in range(4)]
        refusals = [pool.submit(send, server, model, rows, parameters) for _ in range(4)]
        neighbours += [pool.submit(ask, *good) for _ in range(4)]
        for refusal in refusals:
            with pytest.raises(InferenceServerException) as caught:
                refusal.result()
            assert caught.value.status() == f"StatusCode.{REFUSALS[kind].grpc_code}"
            assert f"{kind.value} {{" in caught.value.message()
            assert text in caught.value.message()
        for future in neighbours:
            np.testing.assert_allclose(future.result()["logits"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([text_input("query", [[b"a"], [b"b"]]), text_input("passages", [[b"a"], [b"b"]])], "batch-size must be <= 1"),
        (
            [number_input("query", [[1]]), text_input("passages", [[b"a"]])],
            "data-type is 'INT32', but model 'reranker' expects 'BYTES'",
        ),
        ([text_input("query", [[b"a", b"b"]]), text_input("passages", [[b"a"]])], "unexpected shape for input 'query'"),
        ([text_input("query", [[b"a"]])], "expected 2 inputs but got 1"),
    ],
)
def test_what_triton_itself_refuses(inputs: list[Any], text: str, server: TritonServer) -> None:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.infer("reranker", inputs, client_timeout=60)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert text in caught.value.message()
    assert np.isfinite(ask(server.grpc_endpoint, b"why?", [b"because"])["logits"]).all()
