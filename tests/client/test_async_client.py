"""What only the asyncio client can do."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from packrank_client import AsyncRerankClient, ServerUnavailable
from tests.support.scripted_server import ScriptedServer, SeenRequest, logit_of


def test_tasks_share_a_client(server: ScriptedServer) -> None:
    async def ask_all() -> None:
        async with AsyncRerankClient(server.address) as client:
            answers = await asyncio.gather(*(client.rerank(f"query {n}", ["a", "b"]) for n in range(100)))
        for number, results in enumerate(answers):
            for result in results:
                assert result.logit == logit_of(f"query {number}", "ab"[result.index])

    asyncio.run(ask_all())


def test_cancelling_the_task_cancels_the_requests(server: ScriptedServer) -> None:
    async def give_up() -> None:
        client = AsyncRerankClient(server.address, max_passages=1, max_request_tokens=99, timeout_s=60)
        async with client:
            task = asyncio.create_task(client.rerank("q", ["a", "b"]))
            while len(server.seen) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(2):
                assert await asyncio.to_thread(server.cancelled.acquire, timeout=30)

    server.script = server.hold
    asyncio.run(give_up())


def test_closing_ends_the_calls_of_other_tasks(server: ScriptedServer) -> None:
    under_way = asyncio.Event()

    async def close_early() -> None:
        loop = asyncio.get_running_loop()

        def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
            loop.call_soon_threadsafe(under_way.set)
            server.hold(seen, context)

        server.script = script
        client = AsyncRerankClient(server.address, timeout_s=60)
        task = asyncio.create_task(client.rerank("q", ["a"]))
        await under_way.wait()
        await client.close()
        with pytest.raises(ServerUnavailable):
            await task

    asyncio.run(close_early())
    assert server.cancelled.acquire(timeout=30)
