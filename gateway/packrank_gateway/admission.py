"""How much work may be pending: admits or refuses whole requests, never parts of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from packrank_gateway.capacity import Capacity
from packrank_gateway.errors import GatewayError

# Share of the remaining time. The rest covers what the estimate cannot know, such as merged requests that end together.
WAIT_SHARE = 0.8


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

    def __init__(self, limit: Load) -> None:
        self.limit = limit
        self.pending = Load()
        self.capacity = Capacity()

    @contextmanager
    def place(self, *, pairs: int, tokens: int, remaining_s: float = math.inf) -> Iterator[None]:
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
        if self.pending.tokens and self.capacity.seconds(self.pending.tokens + tokens) > WAIT_SHARE * remaining_s:
            raise overloaded()
        if not self.pending.tokens:
            self.capacity.idle()
        self.pending.pairs += pairs
        self.pending.tokens += tokens
        answered = False
        try:
            yield
            answered = True
        finally:
            self.pending.pairs -= pairs
            self.pending.tokens -= tokens
            if answered:
                self.capacity.answered(tokens, self.pending.tokens)

    def take_body_bytes(self, count: int) -> None:
        """Count bytes that have arrived. Raises GatewayError(overloaded) if there is no room for them."""
        if self.pending.body_bytes + count > self.limit.body_bytes:
            raise overloaded()
        self.pending.body_bytes += count

    def free_body_bytes(self, count: int) -> None:
        """Stop counting bytes that are no longer in memory."""
        self.pending.body_bytes -= count


def overloaded() -> GatewayError:
    """Make the error of a request that finds no room."""
    return GatewayError("overloaded", "the gateway has as much work as it accepts; try again after Retry-After.")
