"""Questions with their candidates, as prepare writes them, and what a ranking of them is worth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A question with its candidates: e5's and BM25's score of each; `answer` is the index of the right one."""

    question: str
    passages: list[str]
    answer: int
    e5: list[float]
    bm25: list[float]


def read_examples(path: Path) -> list[Example]:
    """The examples of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        return [Example(**json.loads(line)) for line in lines]


def follow_examples(path: Path, first: int) -> Iterator[Example]:
    """The examples from number `first` on, without end: waits for those that prepare has not written yet."""
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
    """1 / the answer's rank; a tie counts against it."""
    return 1 / sum(score >= scores[answer] for score in scores)


def mean_reciprocal_rank(examples: Sequence[Example], score: Callable[[Example], Sequence[float]]) -> float:
    """The mean over all questions of a scorer's reciprocal rank."""
    return sum(reciprocal_rank(score(example), example.answer) for example in examples) / len(examples)
