"""The order of turns, and what counts as running. Everything is counted; nothing is timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_gateway.scheduling.fair_queue import FairQueue


class Server:
    """Takes turns in the order of the queue, and answers when a test says so."""

    def __init__(self, limit: int) -> None:
        self.fence = asyncio.Event()
        self.fences = 0
        self.queue = FairQueue(limit, self.settled)
        self.started: list[tuple[Hashable, Hashable]] = []

    async def settled(self) -> None:
        self.fences += 1
        await self.fence.wait()

    def send(self, caller: Hashable, request: Hashable, tokens: int) -> asyncio.Task[None]:
        async def turn() -> None:
            await self.queue.take(caller, request, tokens)
            self.started.append((caller, request))

        return asyncio.create_task(turn())


async def settle() -> None:
    """Let every task run until all of them wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    asyncio.run(run())


def test_a_short_request_waits_only_for_what_the_server_has() -> None:
    async def test() -> None:
        server = Server(limit=10)
        for _ in range(6):
            server.send("heavy", "large", 5)
        server.send("light", "small", 1)
        await settle()
        assert server.started == [("heavy", "large")] * 2
        server.queue.release(5)
        await settle()
        assert server.started[2:] == [("light", "small")]
        server.queue.release(5)
        await settle()
        assert server.started[3:] == [("heavy", "large")]

    in_loop(test)


def test_the_requests_of_one_caller_take_turns_too() -> None:
    async def test() -> None:
        server = Server(limit=1)
        for request in ("first", "a", "a", "a", "b", "b", "c"):
            server.send("one", request, 1)
        for _ in range(7):
            await settle()
            server.queue.release(1)
        assert [request for _, request in server.started] == ["first", "a", "b", "c", "a", "b", "a"]

    in_loop(test)


def test_who_leaves_frees_the_place_at_once() -> None:
    async def test() -> None:
        server = Server(limit=4)
        server.send("first", 1, 4)
        await settle()
        leaving = [server.send("gone", number, 4) for number in range(5)]
        server.send("small", 1, 1)
        await settle()
        assert server.queue.waiting_tokens == 21
        for task in leaving:
            task.cancel()
        await settle()
        assert server.queue.waiting_tokens == 1
        server.queue.release(4)
        await settle()
        assert server.started == [("first", 1), ("small", 1)]

    in_loop(test)


def test_abandoned_work_counts_until_the_server_is_done_with_it() -> None:
    async def test() -> None:
        server = Server(limit=4)
        server.send("gone", 1, 4)
        await settle()
        server.queue.abandon(4)
        server.send("small", 1, 1)
        await settle()
        assert (server.queue.running_tokens, server.fences) == (4, 1)
        assert server.started == [("gone", 1)], "retries cannot pile up dead work"
        server.fence.set()
        await settle()
        assert server.started == [("gone", 1), ("small", 1)]
        assert server.queue.running_tokens == 1

    in_loop(test)


def test_work_abandoned_while_the_server_is_asked_is_asked_about_again() -> None:
    async def test() -> None:
        server = Server(limit=9)
        for request in (1, 2):
            server.send("gone", request, 4)
        await settle()
        server.queue.abandon(4)
        await settle()
        server.queue.abandon(4)
        server.fence.set()
        await settle()
        assert (server.queue.running_tokens, server.fences) == (0, 2)

    in_loop(test)


def test_a_turn_over_the_limit_runs_alone() -> None:
    async def test() -> None:
        server = Server(limit=4)
        server.send("a", 1, 1)
        server.send("b", 1, 9)
        server.send("c", 1, 1)
        await settle()
        assert [caller for caller, _ in server.started] == ["a"]
        server.queue.release(1)
        await settle()
        assert [caller for caller, _ in server.started] == ["a", "b"]
        server.queue.release(9)
        await settle()
        assert [caller for caller, _ in server.started] == ["a", "b", "c"]

    in_loop(test)


def test_a_turn_cancelled_as_it_is_granted_is_not_lost() -> None:
    async def test() -> None:
        server = Server(limit=4)
        server.send("a", 1, 4)
        await settle()
        waiting = server.send("b", 1, 4)
        await settle()
        server.queue.release(4)  # grants b's turn, which b has not seen yet
        waiting.cancel()
        await settle()
        assert server.queue.running_tokens == 0
        with pytest.raises(asyncio.CancelledError):
            waiting.result()

    in_loop(test)


@given(
    # caller, request, tokens, whether the server answers, whether the caller leaves
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 12), st.booleans(), st.booleans()))
)
def test_every_turn_comes_and_the_limit_holds(turns: list[tuple[int, int, int, bool, bool]]) -> None:
    async def test() -> None:
        limit = 10
        queue = FairQueue(limit, settled=lambda: asyncio.sleep(0))

        async def turn(caller: int, request: int, tokens: int, answered: bool) -> None:
            await queue.take(caller, request, tokens)
            try:
                assert queue.running_tokens <= max(limit, tokens)
                await asyncio.sleep(0)
            finally:
                (queue.release if answered else queue.abandon)(tokens)

        tasks = [asyncio.create_task(turn(*arguments[:4])) for arguments in turns]
        await asyncio.sleep(0)
        for task, (*_, leaves) in zip(tasks, turns, strict=True):
            if leaves:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await settle()
        assert (queue.running_tokens, queue.waiting_tokens) == (0, 0)
        assert not any(task.exception() for task in tasks if not task.cancelled())

    in_loop(test)


def test_many_short_requests_do_not_starve_a_long_one() -> None:
    async def test() -> None:
        server = Server(limit=10)
        for _ in range(4):
            server.send("heavy", "large", 10)
        for _ in range(30):
            server.send("light", "small", 1)
        for _ in range(200):
            await settle()
            if server.queue.running_tokens:
                server.queue.release(10 if server.started[-1][0] == "heavy" else server.queue.running_tokens)
        callers = [caller for caller, _ in server.started]
        assert callers.count("heavy") == 4
        assert callers.count("light") == 30
        assert 8 <= callers.index("heavy", 1) - 1 <= 12, "equal shares of tokens"

    in_loop(test)


def test_callers_that_are_gone_are_forgotten() -> None:
    async def test() -> None:
        server = Server(limit=10)
        for caller in range(1000):
            server.send(caller, "one", 1)
            await settle()
            server.queue.release(1)
        assert len(server.queue._tags) < 200

    in_loop(test)
