"""The pairs that peers score: the length mixes, divided among a few questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from benchmarks import workload
from packrank_backend.text.question import Question


@dataclass(frozen=True)
class Mix:
    """One length mix: how many pairs, in how many questions, and the limit that every server is set up for."""

    name: str
    lengths: str
    questions: int
    pairs: int
    max_pair_tokens: int

    @property
    def pair_tokens(self) -> list[int]:
        """Requested tokens of each pair, prompt and query included."""
        return list(map(int, workload.MIXES[self.lengths](self.pairs, 0)))

    @property
    def is_long(self) -> bool:
        """Whether some pairs have thousands of tokens."""
        return self.max_pair_tokens > 512


MIXES = {
    mix.name: mix
    for mix in (
        Mix("uniform", "uniform 128", 8, 64, 512),
        Mix("log-normal", "log-normal 16 to 512", 8, 64, 512),
        Mix("long", "5 % long (2k to 8k)", 4, 40, 8192),
    )
}


def questions_of(mix: Mix, tokenizer: Tokenizer) -> list[Question]:
    """Return the mix's pairs as questions about English text, the same in every run."""
    parts = np.split(np.array(mix.pair_tokens), mix.questions)
    return [workload.question_of_lengths(tokenizer, lengths, seed) for seed, lengths in enumerate(parts)]
