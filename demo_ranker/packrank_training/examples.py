"""Read the examples that prepare writes, and measure rankings of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A question with its candidate passages, and e5's and BM25's score of each.

    `answer` is the index of the right passage.
    """

    question: str
    passages: list[str]
    answer: int
    e5: list[float]
    bm25: list[float]


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        return [Example(**json.loads(line)) for line in lines]


def follow_examples(path: Path, first: int) -> Iterator[Example]:
    """Yield the examples from number `first` on.

    Never ends: it waits for examples that prepare has not written yet, so training can start early.
    """
    with path.open(encoding="utf-8") as lines:
        read, part = 0, ""
        while True:
            part += lines.readline()
            if not part.endswith("\n"):
                time.sleep(1)
                continue
            if read >= first:
                yield Example(**json.loads(part))
            read, part = read + 1, ""


def reciprocal_rank(scores: Sequence[float], answer: int) -> float:
    """Return 1 / the answer's rank. A tie counts against the answer."""
    return 1 / sum(score >= scores[answer] for score in scores)


def mean_reciprocal_rank(examples: Sequence[Example], score: Callable[[Example], Sequence[float]]) -> float:
    """Return the mean reciprocal rank that `score` gives the answers of all examples."""
    return sum(reciprocal_rank(score(example), example.answer) for example in examples) / len(examples)
