"""The three mixes of lengths as token ids, and as texts of the same lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.workload import MIXES, question_of_lengths
from packrank_backend.packing import PackedPairs, pack
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question

# Pairs of each mix: about 64,000 tokens.
PAIRS = {"uniform 128": 512, "log-normal 16 to 512": 512, "5 % long (2k to 8k)": 160}
REQUEST_PAIRS = 10


@dataclass(frozen=True)
class Workload:
    """Pairs of one mix."""

    question: Question
    pairs: list[list[int]]

    @property
    def tokens(self) -> int:
        """Of all pairs, without any padding."""
        return sum(map(len, self.pairs))

    @property
    def packed(self) -> PackedPairs:
        """All pairs as one request."""
        return pack(self.pairs)

    def batches(self, max_tokens: int, max_padded_tokens: int | None = None) -> Iterator[PackedPairs]:
        """The pairs in order, in batches of at most `max_tokens`, and of `max_padded_tokens` with their padding."""
        batch: list[list[int]] = []
        for pair in self.pairs:
            joined = [*batch, pair]
            padded = len(joined) * max(map(len, joined))
            if batch and (sum(map(len, joined)) > max_tokens or padded > (max_padded_tokens or padded)):
                yield pack(batch)
                joined = [pair]
            batch = joined
        yield pack(batch)

    def requests(self) -> list[Question]:
        """The pairs as questions of ten passages each."""
        passages = self.question.passages
        return [
            Question(self.question.query, passages[start : start + REQUEST_PAIRS])
            for start in range(0, len(passages), REQUEST_PAIRS)
        ]

    def halves(self) -> list[tuple[str, str]]:
        """Each pair as two texts whose concatenation is the model's prompt: what CrossEncoder is given."""
        start = pair_text(self.question.query, "")
        return [(start, passage) for passage in self.question.passages]


def workloads(tokenizer: Tokenizer, scale: int) -> dict[str, Workload]:
    """Every mix, `scale` times smaller."""
    made = {}
    for name, lengths in MIXES.items():
        wanted: NDArray[np.int32] = lengths(max(10, PAIRS[name] // scale), 0)
        if scale > 1:  # a rehearsal
            wanted = wanted.clip(max=512)
        question = question_of_lengths(tokenizer, wanted)
        pairs = [tokenizer.encode(pair_text(question.query, passage)).ids for passage in question.passages]
        made[name] = Workload(question, pairs)
    return made
