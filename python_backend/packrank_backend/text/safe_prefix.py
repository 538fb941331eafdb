"""Only the beginning of a long text is tokenised, where the rest is cut anyway.

Why its first tokens are those of the whole text: a byte-level BPE tokenizer cuts a text into words with a regular
expression, and merges within words. What follows a word decides at most where that word and the space behind it end.
So a prefix that ends between a word and a space differs from the whole text in its last word at most, and the last
`MARGIN_TOKENS` tokens are not used. In a text without spaces the prefix ends inside a word. There a merge depends on
the bytes beside it, far fewer than the margin has (tests/backend/text/test_safe_prefix.py tries hostile ones).
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Encoding, Tokenizer

# English has about 4.5. More only costs time: a prefix that turns out to be too short is made longer.
CHARACTERS_PER_TOKEN = 24
MARGIN_TOKENS = 64
# How far back a space is looked for.
_LOOK_BACK = 512


def safe_prefix(text: str, tokens: int, *, times: int = 1) -> str:
    """Return the beginning of `text` that should hold `tokens` tokens and the margin, or all of a shorter text.

    `times` makes it that many times as long.
    """
    size = times * CHARACTERS_PER_TOKEN * (tokens + MARGIN_TOKENS)
    if len(text) <= size:
        return text
    for end in range(size, max(size - _LOOK_BACK, 1), -1):
        if text[end].isspace() and not text[end - 1].isspace():
            return text[:end]
    return text[:size]


def encode_beginning(tokenizer: Tokenizer, text: str, tokens: int, *, special: bool = True) -> Encoding:
    """Encode at least the first `tokens` tokens of the whole text, or all of a text that has fewer.

    More may follow; those beyond `tokens` need not be the whole text's unless all of it was tokenised.
    `special` adds the tokens that begin every text.
    """
    times = 1
    while True:
        prefix = safe_prefix(text, tokens, times=times)
        encoding = tokenizer.encode(prefix, add_special_tokens=special)
        if is_enough(encoding.ids, prefix, text, tokens):
            return encoding
        times *= 2


def is_enough(ids: Sequence[object], prefix: str, text: str, tokens: int) -> bool:
    """Tell whether the ids of `prefix` hold the first `tokens` ids of `text`."""
    return len(prefix) == len(text) or len(ids) >= tokens + MARGIN_TOKENS
