"""Cutting texts by their tokens: a query alone, and the longer part of a pair first.

The cut is made in the text, between two tokens, and the shorter text is tokenised again inside its pair.
"""

from __future__ import annotations

from tokenizers import Tokenizer

from packrank_backend.text.prompt import pair_text
from packrank_backend.text.safe_prefix import encode_beginning, safe_prefix


def first_tokens(tokenizer: Tokenizer, text: str, count: int | None) -> str:
    """Return the start of `text` that holds its first `count` tokens, all of it if None."""
    # a token has at least one UTF-8 byte
    if count is None or len(text.encode()) <= count:
        return text
    offsets = encode_beginning(tokenizer, text, count, special=False).offsets
    return text if len(offsets) <= count else text[: offsets[count - 1][1]]


def cut_longest_first(tokenizer: Tokenizer, query: str, passage: str, limit: int) -> list[int]:
    """Return at most `limit` token ids of a pair, cut as Hugging Face's `longest_first` cuts a pair.

    It takes one token after another from the end of the longer text, so a text keeps at least half of the room that
    the prompt leaves, or everything if it is shorter than that.
    """
    room = max(0, limit - len(tokenizer.encode(pair_text("", "")).ids))
    query_tokens, passage_tokens = (
        len(encode_beginning(tokenizer, text, limit, special=False).ids) for text in (query, passage)
    )
    query_is_longer = query_tokens > passage_tokens
    if all(len(safe_prefix(text, limit)) < len(text) for text in (query, passage)):
        query_is_longer = len(query) > len(passage)  # both are far over the limit, and not counted to their end
    # of an odd room, the longer text gets the larger half: tokenizers 0.23, `truncate_encodings`
    half = (room + 1) // 2 if query_is_longer else room // 2
    kept = max(half, room - passage_tokens)
    if query_tokens > kept:
        query = first_tokens(tokenizer, query, kept) if kept else ""
    # a seam may cost a token more than the parts alone, hence the cut of the whole
    ids: list[int] = encode_beginning(tokenizer, pair_text(query, passage), limit).ids[:limit]
    return ids
