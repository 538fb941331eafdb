from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from packrank_client import AsyncRerankClient, RerankClient, RerankResult
from tests.support.scripted_server import ScriptedServer, scripted_server


class FromBlockingCode:
    """AsyncRerankClient with RerankClient's interface: each call runs in this client's own event loop."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncRerankClient(*arguments, **settings)

    def rerank(self, *arguments: Any, **options: Any) -> list[RerankResult]:
        return self._runner.run(self._client.rerank(*arguments, **options))

    def is_ready(self, **options: Any) -> bool:
        return self._runner.run(self._client.is_ready(**options))

    def close(self) -> None:
        self._runner.run(self._client.close())

    def __enter__(self) -> FromBlockingCode:
        assert self._runner.run(self._client.__aenter__()) is self._client
        return self

    def __exit__(self, *error: Any) -> None:
        with self._runner:
            self._runner.run(self._client.__aexit__(*error))


Client = RerankClient | FromBlockingCode
MakeClient = Callable[..., Client]


@pytest.fixture(params=[RerankClient, FromBlockingCode], ids=["threads", "asyncio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make clients of one kind, and close them after the test."""
    with ExitStack() as clients:
        yield lambda *arguments, **settings: clients.enter_context(request.param(*arguments, **settings))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running
