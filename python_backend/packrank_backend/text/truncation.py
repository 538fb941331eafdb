"""Pairs over the limits: what is cut, and what is refused."""

from __future__ import annotations

from tokenizers import Tokenizer

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.longest_first import cut_longest_first, first_tokens
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import PairLimits, Question
from packrank_backend.text.safe_prefix import safe_prefix
from packrank_backend.text.truncate_parameters import Truncate

# How far the tokens of a query may differ between two passages: a token can span the seam.
SEAM_TOKENS = 8


def pair_limit(question: Question, limits: PairLimits) -> int:
    """Return how many tokens a pair of this question may have."""
    return min(limits.max_pair_tokens, question.max_pair_tokens or limits.max_pair_tokens)


def passages_cut(tokenizer: Tokenizer, question: Question, pairs: list[list[int]]) -> list[list[int]]:
    """Cut each passage to `max_passage_tokens`."""
    limit = question.max_passage_tokens
    if limit is None:
        return list(pairs)
    return [
        # a pair within the passage's limit needs no second tokenising
        ids[: limit + _question_tokens(tokenizer, question.query, passage)] if len(ids) > limit else ids
        for ids, passage in zip(pairs, question.passages, strict=True)
    ]


def within_limits(
    tokenizer: Tokenizer, question: Question, pairs: list[list[int]], limits: PairLimits, *, first: int = 0
) -> list[list[int]]:
    """Cut the pairs to the limit, or refuse them; `first` is the index of the first pair's passage."""
    limit = pair_limit(question, limits)
    room_is_known = False
    for index, ids in enumerate(pairs, start=first):
        if len(ids) <= limit or room_is_known:
            continue
        if question.truncate is Truncate.LONGEST_FIRST:
            passage = first_tokens(tokenizer, question.passages[index], question.max_passage_tokens)
            pairs[index - first] = cut_longest_first(tokenizer, question.query, passage, limit)
            continue
        question_tokens = _question_tokens(tokenizer, question.query, question.passages[index])
        if question_tokens >= limit:
            raise query_too_long(question_tokens, limit)
        if question.truncate is Truncate.NONE:
            raise InvalidRequest(
                ErrorKind.PAIR_TOO_LONG,
                f"passages[{index}] has {len(ids)} tokens together with the query; the limit is {limit}. "
                "Shorten the passage or send truncate=END.",
                passage=index,
                tokens=len(ids),
                limit=limit,
            )
        # the query's tokens hardly differ from pair to pair
        room_is_known = question_tokens + SEAM_TOKENS < limit
    cut = [ids[:limit] for ids in pairs]
    total = sum(map(len, cut))
    if total > limits.max_request_tokens:
        raise too_many_tokens(total, len(cut), limits)
    longest = max(map(len, cut))
    if len(cut) * longest > limits.max_request_padded_tokens:
        raise InvalidRequest(
            ErrorKind.TOO_MANY_TOKENS,
            f"the request has {len(cut)} pairs, the longest of {longest} tokens; the limit of pairs x longest is "
            f"{limits.max_request_padded_tokens}. Send the long passages in a request of their own.",
            pairs=len(cut),
            longest=longest,
            limit=limits.max_request_padded_tokens,
        )
    return cut


def query_too_long(tokens: int, limit: int) -> InvalidRequest:
    """Make the error of a query that leaves no room for a passage."""
    return InvalidRequest(
        ErrorKind.QUERY_TOO_LONG,
        f"query takes {tokens} tokens with the prompt, which leaves no room for a passage; "
        f"the limit for both together is {limit}. Shorten the query.",
        tokens=tokens,
        limit=limit,
    )


def too_many_tokens(tokens: int, pairs: int, limits: PairLimits) -> InvalidRequest:
    """Make the error of a request that has more tokens than it may."""
    return InvalidRequest(
        ErrorKind.TOO_MANY_TOKENS,
        f"the request has {tokens} tokens in {pairs} pairs; the limit is {limits.max_request_tokens}. "
        "Send fewer passages per request.",
        tokens=tokens,
        pairs=pairs,
        limit=limits.max_request_tokens,
    )


def _question_tokens(tokenizer: Tokenizer, query: str, passage: str) -> int:
    """Count the tokens of prompt and query in a pair. A token that spans into the passage counts."""
    characters = len(pair_text(query, ""))
    offsets = tokenizer.encode(pair_text(query, safe_prefix(passage, 0))).offsets
    return sum(start < characters for start, _ in offsets)
