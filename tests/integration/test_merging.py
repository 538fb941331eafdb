from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tritonclient import grpc

from packrank_backend.tritonserver import TritonServer
from tests.integration.raw_request import ask

STEPS = ("tokenizer", "ranker", "postprocessor")


def counts(server: TritonServer) -> dict[str, tuple[int, int]]:
    """Requests and executions of each step so far."""
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        stats = {step: client.get_inference_statistics(step).model_stats[0] for step in STEPS}
    return {step: (int(stat.inference_count), int(stat.execution_count)) for step, stat in stats.items()}


def test_merged_requests_score_as_alone(server: TritonServer) -> None:
    random = np.random.default_rng(7)
    requests = []
    for number in range(64):
        passages = [b" word" * int(length) for length in random.lognormal(3, 1.2, random.integers(1, 9)).clip(0, 900)]
        requests.append((f"question {number}?".encode(), passages))
    alone = [ask(server.grpc_endpoint, *request) for request in requests]
    before = counts(server)
    with ThreadPoolExecutor(len(requests)) as pool:
        merged = list(pool.map(lambda request: ask(server.grpc_endpoint, *request), requests))
    after = counts(server)
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_allclose(other["logits"], one["logits"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(other["token_counts"], one["token_counts"])
    for step in STEPS:
        served, executed = np.subtract(after[step], before[step])
        assert served == 64
        assert executed < 64, f"{step} merged nothing"
