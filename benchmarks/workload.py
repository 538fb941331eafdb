"""Generate the questions that benchmarks ask. Seeds are fixed, so every machine asks the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question
from packrank_build.graph.parity_pairs import declaration_articles

# Search results: most passages are short, a few fill a page. A token is a little less than a word.
MEDIAN_WORDS, SHORTEST_WORDS, LONGEST_WORDS = 70, 8, 380
MOST_PASSAGES = 20
# The length mixes, in tokens per pair.
MEDIAN_TOKENS, SHORTEST_TOKENS, LONGEST_TOKENS = 100, 16, 512
LONG_SHARE, LONG_TOKENS = 0.05, (2048, 8192)
SIGMA = 0.8  # of both log-normal distributions
QUERY = "what is a right?"

Lengths = NDArray[np.int32]


def uniform_128(pairs: int, _seed: int = 0) -> Lengths:
    """Return 128 tokens for every pair. INT32 [pairs]."""
    return np.full(pairs, 128, np.int32)


def log_normal(pairs: int, seed: int = 0) -> Lengths:
    """Return log-normal lengths with median 100, clipped to 16 to 512 tokens. INT32 [pairs]."""
    lengths = np.random.default_rng(seed).lognormal(np.log(MEDIAN_TOKENS), SIGMA, pairs)
    return lengths.clip(SHORTEST_TOKENS, LONGEST_TOKENS).astype(np.int32)


def few_long(pairs: int, seed: int = 0) -> Lengths:
    """Return log-normal lengths, but 2,048 to 8,192 tokens for one pair in twenty, at least one. INT32 [pairs]."""
    lengths = log_normal(pairs, seed)
    random = np.random.default_rng(seed + 1)
    long = random.choice(pairs, max(1, round(LONG_SHARE * pairs)), replace=False)
    lengths[long] = random.integers(LONG_TOKENS[0], LONG_TOKENS[1] + 1, len(long))
    return lengths


MIXES: MappingProxyType[str, Callable[[int, int], Lengths]] = MappingProxyType(
    {"uniform 128": uniform_128, "log-normal 16 to 512": log_normal, "5 % long (2k to 8k)": few_long}
)


def mixed_questions(count: int, seed: int = 0) -> list[Question]:
    """Return `count` questions of 1 to 20 passages whose lengths are log-normal between 8 and 380 words."""
    random = np.random.default_rng(seed)
    words = _english_words()

    def text(length: int) -> str:
        return _text(words, int(random.integers(len(words))), length)

    questions = []
    for _ in range(count):
        lengths = random.lognormal(np.log(MEDIAN_WORDS), SIGMA, random.integers(1, MOST_PASSAGES + 1))
        passages = [text(int(length)) for length in lengths.clip(SHORTEST_WORDS, LONGEST_WORDS)]
        questions.append(Question(f"what does it say about {text(3)}?", passages))
    return questions


def question_of_lengths(
    tokenizer: Tokenizer, lengths: Sequence[int] | NDArray[np.integer[Any]], seed: int = 0
) -> Question:
    """Return one question whose pairs, prompt and query included, have these token counts, to within two.

    Every passage starts elsewhere in the same English text. No pair is shorter than prompt and query.
    """
    words = _english_words()
    random = np.random.default_rng(seed)
    passages = []
    for length in map(int, lengths):
        pair = pair_text(QUERY, _text(words, int(random.integers(len(words))), length))  # a word is at least a token
        offsets = tokenizer.encode(pair).offsets
        passages.append(pair[: offsets[min(length, len(offsets)) - 1][1]][len(pair_text(QUERY, "")) :])
    return Question(QUERY, passages)


def token_count(questions: Sequence[Question], tokenizer: Tokenizer) -> int:
    """Count the tokens of all pairs, prompt included and nothing cut."""
    texts = [pair_text(question.query, passage) for question in questions for passage in question.passages]
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts))


def _english_words() -> list[str]:
    return " ".join(declaration_articles()["en"].values()).split()


def _text(words: Sequence[str], start: int, length: int) -> str:
    return " ".join(words[(start + place) % len(words)] for place in range(length))
