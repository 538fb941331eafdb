"""How much work may be pending: admits or refuses whole requests, never parts of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from packrank_gateway.errors import GatewayError
from packrank_gateway.scheduling.capacity import Capacity

# Share of the remaining time. The rest covers what the estimate cannot know, such as merged requests that end together.
WAIT_SHARE = 0.8
# Share of the pending tokens and body bytes that one caller may hold. One request always fits.
CALLER_SHARE = 0.5


@dataclass
class Load:
    """Pending work, or its limit: pairs, estimated tokens, and bytes of request bodies."""

    pairs: int = 0
    tokens: int = 0
    body_bytes: int = 0


class Admission:
    """Counts pending work. All methods run in one event loop, and none of them waits.

    This replaces Triton's `max_queue_size`: in 24.10 an ensemble request can hang forever when the queue of one of
    its models overflows.
    """

    def __init__(self, limit: Load, *, max_body_bytes: int = 0) -> None:
        self.limit = limit
        self._caller_body_bytes = max(max_body_bytes, int(CALLER_SHARE * limit.body_bytes))
        self._body_bytes: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self.pending = Load()
        self.capacity = Capacity()

    @contextmanager
    def place(self, *, pairs: int, tokens: int, remaining_s: float = math.inf, caller: str = "") -> Iterator[None]:
        """Hold a place for one whole request until the block ends.

        A request that would miss its deadline, `remaining_s` from now, is refused at once too: the servers would
        work in vain, and make the next one late. A request that finds no other work is never refused for that.

        Raises GatewayError: overloaded if pending work leaves no room, too_many_tokens if the request alone is too
        large.
        """
        if tokens > self.limit.tokens:
            raise GatewayError(
                "too_many_tokens",
                f"the request has about {tokens} tokens; the limit is {self.limit.tokens}. Send fewer passages.",
                facts={"tokens": tokens, "limit": self.limit.tokens},
            )
        if self.pending.pairs + pairs > self.limit.pairs or self.pending.tokens + tokens > self.limit.tokens:
            raise overloaded()
        own = self._tokens[caller]
        if caller and own and own + tokens > CALLER_SHARE * self.limit.tokens:
            raise overloaded()
        # callers take turns, so a short request does not wait for all of another caller's
        ahead = min(self.pending.tokens + tokens, (own + tokens) * len(self._tokens.keys() | {caller}))
        if self.pending.tokens and self.capacity.seconds(ahead) > WAIT_SHARE * remaining_s:
            raise overloaded()
        if not self.pending.tokens:
            self.capacity.idle()
        self.pending.pairs += pairs
        self.pending.tokens += tokens
        self._tokens[caller] += tokens
        try:
            yield
        finally:
            self.pending.pairs -= pairs
            self.pending.tokens -= tokens
            self._tokens[caller] -= tokens
            if not self._tokens[caller]:
                del self._tokens[caller]

    def chunk_answered(self, tokens: int) -> None:
        """Learn from a chunk that a server has answered. A request may be answered in many, over a long time."""
        self.capacity.answered(tokens, max(0, self.pending.tokens - tokens))

    def take_body_bytes(self, count: int, caller: str = "") -> None:
        """Count bytes that have arrived from a caller.

        Raises GatewayError(overloaded) if there is no room for them, or if the caller would hold more than its share.
        """
        of_caller = self._body_bytes[caller] + count
        if self.pending.body_bytes + count > self.limit.body_bytes or (caller and of_caller > self._caller_body_bytes):
            raise overloaded()
        self.pending.body_bytes += count
        self._body_bytes[caller] = of_caller

    def free_body_bytes(self, count: int, caller: str = "") -> None:
        """Stop counting bytes that are no longer in memory."""
        self.pending.body_bytes -= count
        self._body_bytes[caller] -= count
        if not self._body_bytes[caller]:
            del self._body_bytes[caller]


def overloaded() -> GatewayError:
    """Make the error of a request that finds no room."""
    return GatewayError("overloaded", "the gateway has as much work as it accepts; try again after Retry-After.")
