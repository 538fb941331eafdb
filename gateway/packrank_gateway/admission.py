"""How much work may be under way at the same time: whole requests are let in or refused, never parts of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from packrank_gateway.errors import GatewayError


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

    @contextmanager
    def place(self, *, pairs: int, tokens: int) -> Iterator[None]:
        """A place for one whole request, free again when the block ends, however it ends.

        Raises GatewayError: overloaded while others take the room, too_many_tokens when the request alone is beyond it.
        """
        if tokens > self.limit.tokens:
            raise GatewayError(
                "too_many_tokens",
                f"the request has about {tokens} tokens; the limit is {self.limit.tokens}. Send fewer passages.",
            )
        if self.pending.pairs + pairs > self.limit.pairs or self.pending.tokens + tokens > self.limit.tokens:
            raise overloaded()
        self.pending.pairs += pairs
        self.pending.tokens += tokens
        try:
            yield
        finally:
            self.pending.pairs -= pairs
            self.pending.tokens -= tokens

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
