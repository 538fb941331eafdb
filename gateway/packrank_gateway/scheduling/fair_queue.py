"""Whose work goes to a model server next: equal shares of tokens for all callers, little at the server at a time.

A server's own queue is first come, first served, and does not give back what it holds. So the queue is here. Work that
waits here can be dropped the moment its caller leaves, and a caller with one short request goes before the next
turn of a caller with a long one.

The order is start-time fair queueing (Goyal, Vin and Cheng, 1996): each turn has a tag, the caller's tokens so far, and
the lowest tag is next. A caller that comes back begins at the tag of the turn that is running, so nobody saves up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple, TypeAlias


class _Waiter(NamedTuple):
    """A turn that is waited for; the future is done once it is granted."""

    granted: asyncio.Future[None]
    tokens: int


# The requests of one caller, and the waiters of each. The first of either is next.
_Requests: TypeAlias = "OrderedDict[Hashable, deque[_Waiter]]"


class FairQueue:
    """The queue of one model server. All methods run in one event loop.

    - `limit`: tokens at the server at the same time. More than that goes to the server only while it has nothing.
    - `settled`: waits until the server is done with everything sent so far. It must not raise.

    The requests of one caller take turns. The turns of one request keep their order.
    """

    def __init__(self, limit: int, settled: Callable[[], Awaitable[None]]) -> None:
        self.limit = limit
        self.running_tokens = 0
        self.waiting_tokens = 0
        self._settled = settled
        self._callers: dict[Hashable, _Requests] = {}
        self._tags: dict[Hashable, int] = {}  # of each caller's next turn
        self._now = 0  # the tag of the last turn that was granted
        self._abandoned_tokens = 0
        self._settling: asyncio.Task[None] | None = None

    async def take(self, caller: Hashable, request: Hashable, tokens: int) -> None:
        """Wait for a turn to send `tokens` tokens. Cancelling the task gives the place up at once.

        Every turn ends with `release` or `abandon` of the same tokens.
        """
        if caller not in self._callers:
            self._tags[caller] = max(self._now, self._tags.get(caller, 0))
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tokens)
        self._callers.setdefault(caller, OrderedDict()).setdefault(request, deque()).append(waiter)
        self.waiting_tokens += tokens
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                self._forget(caller, request, waiter)
                self._grant()
            else:  # granted, then cancelled before the task went on
                self.release(tokens)
            raise

    def release(self, tokens: int) -> None:
        """End a turn that the server has answered."""
        self.running_tokens -= tokens
        self._grant()
        if not self.running_tokens and not self._callers:  # idle: nobody is ahead of anybody
            self._tags.clear()
            self._now = 0

    def abandon(self, tokens: int) -> None:
        """End a turn without an answer. Its tokens count until the server is done with them."""
        self._abandoned_tokens += tokens
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())

    async def close(self) -> None:
        """Stop waiting for the server."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)

    async def _settle(self) -> None:
        try:
            while self._abandoned_tokens:
                tokens, self._abandoned_tokens = self._abandoned_tokens, 0
                await self._settled()
                self.release(tokens)
        finally:
            self._settling = None

    def _grant(self) -> None:
        while self._callers:
            caller = min(self._callers, key=self._tags.__getitem__)
            requests = self._callers[caller]
            request, waiters = next(iter(requests.items()))
            waiter = waiters[0]
            # whoever is first waits for room: smaller turns must not pass a large one for ever
            if self.running_tokens and self.running_tokens + waiter.tokens > self.limit:
                return
            self._forget(caller, request, waiter)
            if request in requests:
                requests.move_to_end(request)
            if not waiter.granted.done():
                self._now = max(self._now, self._tags[caller])
                self._tags[caller] += waiter.tokens
                self.running_tokens += waiter.tokens
                waiter.granted.set_result(None)
                self._forget_idle_callers()

    def _forget_idle_callers(self) -> None:
        if len(self._tags) > 2 * len(self._callers) + 100:
            self._tags = {
                caller: tag for caller, tag in self._tags.items() if caller in self._callers or tag > self._now
            }

    def _forget(self, caller: Hashable, request: Hashable, waiter: _Waiter) -> None:
        requests = self._callers.get(caller, OrderedDict())
        waiters = requests.get(request, deque())
        if waiter not in waiters:
            return
        waiters.remove(waiter)
        self.waiting_tokens -= waiter.tokens
        if not waiters:
            del requests[request]
        if not requests:
            del self._callers[caller]
