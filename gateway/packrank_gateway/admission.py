"""How much work may be under way at the same time: whole requests are let in or refused, never parts of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from packrank_gateway.capacity import Capacity
from packrank_gateway.errors import GatewayError

# Of the time that is left; the rest is for what the estimate does not know, such as merged requests that end together.
WAIT_SHARE = 0.8


@dataclass
class Load:
    """What is under way, or what may be: requests' pairs, estimated tokens, and bytes of their bodies."""

    pairs: int = 0
    tokens: int = 0
    body_bytes: int = 0


class Admission:
    """Counts what is under way. All methods run in one event loop, and none of them waits: an answer comes at once.

    Admission belongs here and not in Triton's `max_queue_size`: in 24.10 an ensemble request can hang for ever when
    the queue of one of its models overflows.
    """

    def __init__(self, limit: Load) -> None:
        self.limit = limit
        self.pending = Load()
        self.capacity = Capacity()

    @contextmanager
    def place(self, *, pairs: int, tokens: int, remaining_s: float = math.inf) -> Iterator[None]:
        """A place for one whole request, free again when the block ends, however it ends.

        A request that would be answered after its deadline, `remaining_s` from now, is refused at once as well: the
        servers would work for nobody, and the next one would be late in turn. One that finds nobody is never refused.

        Raises GatewayError: overloaded while others take the room, too_many_tokens when the request alone is beyond it.
        """
        if tokens > self.limit.tokens:
            raise GatewayError(
                "too_many_tokens",
                f"the request has about {tokens} tokens; the limit is {self.limit.tokens}. Send fewer passages.",
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
        """Count bytes that have arrived. Raises GatewayError(overloaded) when bodies already take all room."""
        if self.pending.body_bytes + count > self.limit.body_bytes:
            raise overloaded()
        self.pending.body_bytes += count

    def free_body_bytes(self, count: int) -> None:
        """The bytes are gone from memory."""
        self.pending.body_bytes -= count


def overloaded() -> GatewayError:
    """More work than is accepted."""
    return GatewayError("overloaded", "the gateway has as much work as it accepts; try again after Retry-After.")
