"""Questions of the three length mixes (benchmarks/length_mixes.py): the same pairs in every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from benchmarks import length_mixes
from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text

SHORT_LIMIT_TOKENS, LONG_LIMIT_TOKENS = 512, 8192


@dataclass(frozen=True)
class Mix:
    """Pairs of one length mix, divided evenly among questions; few enough that the slowest contestant ends."""

    name: str
    lengths: str
    questions: int
    pairs: int

    @property
    def pair_tokens(self) -> list[int]:
        """How long the pairs are asked to be, in tokens of prompt, query and passage together."""
        return list(map(int, length_mixes.MIXES[self.lengths](self.pairs, 0)))

    @property
    def is_long(self) -> bool:
        """Whether some pairs are thousands of tokens long."""
        return max(self.pair_tokens) > SHORT_LIMIT_TOKENS

    @property
    def max_pair_tokens(self) -> int:
        """The limit that packrank and vLLM are set up for."""
        return LONG_LIMIT_TOKENS if self.is_long else SHORT_LIMIT_TOKENS


MIXES = {
    mix.name: mix
    for mix in (
        Mix("uniform", "uniform 128", 8, 64),
        Mix("log-normal", "log-normal 16 to 512", 8, 64),
        Mix("long", "5 % long (2k to 8k)", 4, 40),
    )
}


def questions_of(mix: Mix, tokenizer: Tokenizer) -> list[Question]:
    """The mix's pairs as questions about English text."""
    return [
        length_mixes.question_of_lengths(tokenizer, lengths, seed)
        for seed, lengths in enumerate(np.split(np.array(mix.pair_tokens), mix.questions))
    ]


def token_count(questions: list[Question], tokenizer: Tokenizer) -> int:
    """Tokens of all pairs."""
    texts = [pair_text(question.query, passage) for question in questions for passage in question.passages]
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts))
