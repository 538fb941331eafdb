"""The three mixes of pair lengths that benchmarks compare on, as numbers and as real text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_build.graph.parity_pairs import declaration_articles

QUERY = "what is a right?"
# Pairs as retrieval brings them: most are short paragraphs, a few fill a page.
MEDIAN_TOKENS, SIGMA = 100, 0.8
SHORTEST_TOKENS, LONGEST_TOKENS = 16, 512
LONG_SHARE, LONG_TOKENS = 0.05, (2048, 8192)

Lengths = NDArray[np.int32]


def uniform_128(pairs: int, _seed: int = 0) -> Lengths:
    """Every pair has 128 tokens. INT32 [pairs]."""
    return np.full(pairs, 128, np.int32)


def log_normal(pairs: int, seed: int = 0) -> Lengths:
    """Log-normal with median 100, cut to 16 to 512. INT32 [pairs]."""
    lengths = np.random.default_rng(seed).lognormal(np.log(MEDIAN_TOKENS), SIGMA, pairs)
    return lengths.clip(SHORTEST_TOKENS, LONGEST_TOKENS).astype(np.int32)


def few_long(pairs: int, seed: int = 0) -> Lengths:
    """Log-normal, but one pair in twenty, at least one, has 2048 to 8192 tokens. INT32 [pairs]."""
    lengths = log_normal(pairs, seed)
    random = np.random.default_rng(seed + 1)
    long = random.choice(pairs, max(1, round(LONG_SHARE * pairs)), replace=False)
    lengths[long] = random.integers(LONG_TOKENS[0], LONG_TOKENS[1] + 1, len(long))
    return lengths


MIXES: MappingProxyType[str, Callable[[int, int], Lengths]] = MappingProxyType(
    {"uniform 128": uniform_128, "log-normal 16 to 512": log_normal, "5 % long (2k to 8k)": few_long}
)


def question_of_lengths(
    tokenizer: Tokenizer, lengths: Sequence[int] | NDArray[np.integer[Any]], seed: int = 0
) -> Question:
    """One question whose pairs, prompt and query included, have the given token counts; cutting may cost one or two.

    Every passage begins at another place of the same English text. A pair is never shorter than prompt and query.
    """
    words = " ".join(declaration_articles()["en"].values()).split()
    random = np.random.default_rng(seed)
    passages = []
    for length in map(int, lengths):
        start = int(random.integers(len(words)))
        text = " ".join(words[(start + place) % len(words)] for place in range(length))  # a word is at least a token
        pair = pair_text(QUERY, text)
        offsets = tokenizer.encode(pair).offsets
        passages.append(pair[: offsets[min(length, len(offsets)) - 1][1]][len(pair_text(QUERY, "")) :])
    return Question(QUERY, passages)
