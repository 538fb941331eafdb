"""A question beyond the limits of one request -> chunks of passages that fit.

The server works best on passages of similar length, and requests of equal size are soonest all answered: so
the passages are sorted by length, and cut into the fewest chunks of about equal size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

from packrank_client._limits import Limits
from packrank_client._question import Question

# Indexes into the caller's passages, in the order in which a request holds them.
Chunk: TypeAlias = tuple[int, ...]

# There is no tokenizer here. Guess on the high side: too few tokens cost a refused request (the chunk is then
# halved and sent again), too many only make chunks smaller. English text has more bytes of UTF-8 a token.
BYTES_PER_TOKEN = 3
# `question:`, ` \n \n passage:` and the token that begins every text.
PROMPT_TOKENS = 10


def estimated_tokens(question: Question) -> list[int]:
    """A guess at the tokens of each pair: at least one each."""
    query_bytes = len(question.query)
    return [PROMPT_TOKENS + (query_bytes + len(passage)) // BYTES_PER_TOKEN for passage in question.passages]


def plan_chunks(tokens: Sequence[int], limits: Limits) -> list[Chunk]:
    """Every index of `tokens` exactly once, longest first, in the fewest chunks within the limits.

    Among the plans of that many chunks, the one whose largest chunk is smallest. A pair that alone exceeds
    the token limit becomes a chunk of its own: the server may know better, or must say no.
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
    """Cut a chunk of at least two passages where the estimated tokens of both parts are about equal."""
    ends = list(accumulate(tokens[index] for index in chunk))
    place = min(range(1, len(chunk)), key=lambda place: abs(2 * ends[place - 1] - ends[-1]))
    return chunk[:place], chunk[place:]
