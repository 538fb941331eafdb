"""A question beyond the limits of one request -> chunks of passages that fit.

The server works best on passages of similar length, and requests of equal size finish together soonest. So passages
are sorted by length and cut into the fewest chunks of about equal size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

from packrank_client._triton.limits import Limits

# Indexes into the caller's passages, in the order of the request.
Chunk: TypeAlias = tuple[int, ...]


def plan_chunks(tokens: Sequence[int], limits: Limits) -> list[Chunk]:
    """Put every index of `tokens` into exactly one chunk, longest first, in the fewest chunks within the limits.

    Of the plans with that many chunks, choose the one whose largest chunk is smallest. A pair over the token limit
    gets its own chunk: the estimate may be wrong, and the server decides.
    """
    longest_first = sorted(range(len(tokens)), key=lambda index: -tokens[index])

    def chunks_within(max_tokens: int) -> list[Chunk]:
        chunks: list[list[int]] = []
        room = 0
        for index in longest_first:
            if not chunks or tokens[index] > room or len(chunks[-1]) == limits.max_passages:
                chunks.append([])
                room = max_tokens
            chunks[-1].append(index)
            room -= tokens[index]
        return [tuple(chunk) for chunk in chunks]

    chunks = chunks_within(limits.max_request_tokens)
    fewest = len(chunks)
    if fewest == 1:
        return chunks
    budgets = range(1, limits.max_request_tokens + 1)
    smallest = bisect_left(budgets, True, key=lambda budget: len(chunks_within(budget)) <= fewest)
    return chunks_within(budgets[smallest])


def halve_chunk(chunk: Chunk, tokens: Sequence[int]) -> tuple[Chunk, Chunk]:
    """Cut a chunk of at least two passages where both parts have about equally many estimated tokens."""
    ends = list(accumulate(tokens[index] for index in chunk))
    place = min(range(1, len(chunk)), key=lambda place: abs(2 * ends[place - 1] - ends[-1]))
    return chunk[:place], chunk[place:]
