import asyncio
from collections import Counter

from benchmarks.processes import running_gateway
from benchmarks.serving.clients import ANSWERED, OVER_DEADLINE, over_grpc, through_gateway
from benchmarks.serving.loops import closed_loop
from packrank_backend.text.question import Question
from packrank_server.tritonserver import TritonServer

QUESTION = Question("what is a right?", ["everyone has one"] * 5)


async def grpc_outcomes(endpoint: str, deadline_s: float) -> Counter[str]:
    async with over_grpc(endpoint, deadline_s) as ask:
        return (await closed_loop(ask, [QUESTION], 2, requests=4)).outcomes


async def gateway_outcomes(url: str, deadline_s: float, concurrency: int) -> Counter[str]:
    async with through_gateway(url, deadline_s) as ask:
        return (await closed_loop(ask, [QUESTION], concurrency, requests=20)).outcomes


def test_refused_requests_and_missed_deadlines_are_told_apart(server: TritonServer) -> None:
    assert asyncio.run(grpc_outcomes(server.grpc_endpoint, 60)) == {ANSWERED: 4}
    assert asyncio.run(grpc_outcomes(server.grpc_endpoint, 1e-6)) == {OVER_DEADLINE: 4}
    with running_gateway(server.grpc_endpoint, max_pending_pairs=5, max_passages=5, max_documents=5) as gateway:
        assert asyncio.run(gateway_outcomes(gateway.url, 60, 1)) == {ANSWERED: 20}
        crowded = asyncio.run(gateway_outcomes(gateway.url, 60, 20))
        assert crowded.keys() == {ANSWERED, "refused (429)"}
        assert ANSWERED not in asyncio.run(gateway_outcomes(gateway.url, 1e-6, 1))
