from queue import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc

from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import ask, text_input

STEPS = ("tokenizer", "ranker", "postprocessor")


def counts(server: TritonServer) -> dict[str, tuple[int, int]]:
    """Count requests and executions of each step so far."""
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        stats = {step: client.get_inference_statistics(step).model_stats[0] for step in STEPS}
    return {step: (int(stat.inference_count), int(stat.execution_count)) for step, stat in stats.items()}


def ask_at_once(endpoint: str, requests: list[tuple[bytes, list[bytes]]]) -> list[dict[str, NDArray[Any]]]:
    """Send all requests over one connection without waiting; answers in their order."""
    answers: Queue[tuple[int, Any, Any]] = Queue()
    with grpc.InferenceServerClient(endpoint) as client:
        for place, (query, passages) in enumerate(requests):
            client.async_infer(
                "reranker",
                [text_input("query", [[query]]), text_input("passages", [passages])],
                lambda result, error, place=place: answers.put((place, result, error)),
                client_timeout=120,
            )
        arrived = dict[int, dict[str, NDArray[Any]]]()
        for _ in requests:
            place, result, error = answers.get(timeout=130)
            assert error is None, error
            arrived[place] = {name: result.as_numpy(name)[0] for name in ("logits", "token_counts")}
    return [arrived[place] for place in range(len(requests))]


def requests_that_merge() -> list[tuple[bytes, list[bytes]]]:
    random = np.random.default_rng(7)
    # a large one first: while a step works on it, the others gather
    requests = [(b"why?", [b" word" * 900] * 17)]
    for number in range(64):
        passages = [b" word" * int(length) for length in random.lognormal(3, 1.2, random.integers(1, 9)).clip(0, 900)]
        requests.append((f"question {number}?".encode(), passages))
    return requests


def test_merged_requests_score_as_alone(server: TritonServer) -> None:
    requests = requests_that_merge()
    alone = [ask(server.grpc_endpoint, *request) for request in requests]
    before = counts(server)
    merged = ask_at_once(server.grpc_endpoint, requests)
    after = counts(server)
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_allclose(other["logits"], one["logits"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(other["token_counts"], one["token_counts"])
    for step in STEPS:
        served, executed = np.subtract(after[step], before[step])
        assert served == len(requests)
        assert executed < len(requests), f"{step} merged nothing"
