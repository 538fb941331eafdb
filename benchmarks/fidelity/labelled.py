"""Labelled questions: a query, BM25's best documents, and the grade of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from packrank_backend.packing import PackedPairs, pack
from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_client.evaluation.dataset import read_dataset
from packrank_client.evaluation.first_stage import bm25_run


@dataclass(frozen=True)
class Labelled:
    """A question with its candidates, and the relevance grade of each; 0 is not relevant."""

    question: Question
    grades: list[int]

    def packed(self, tokenizer: Tokenizer, max_pair_tokens: int) -> PackedPairs:
        """Pack the pairs as the server does, cut at `max_pair_tokens`."""
        texts = [pair_text(self.question.query, passage) for passage in self.question.passages]
        return pack([tokenizer.encode(text).ids[:max_pair_tokens] for text in texts])


def labelled_questions(directory: Path, count: int, candidates: int) -> list[Labelled]:
    """Choose questions of a BEIR folder, by a fixed seed, whose relevant document is among BM25's `candidates` best.

    Raises EvaluationError when the folder holds no dataset.
    """
    dataset = read_dataset(directory)
    found = []
    for name, hits in bm25_run(dataset, candidates, lambda _: None).items():
        grades = [dataset.qrels[name].get(hit.document, 0) for hit in hits]
        if any(grades):
            found.append(
                Labelled(Question(dataset.queries[name], [dataset.corpus[hit.document] for hit in hits]), grades)
            )
    chosen = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in chosen[:count]]


def all_labelled(sets: Path, plan: dict[str, tuple[int, int]], most: int) -> list[Labelled]:
    """Choose questions of several sets; `plan` gives each set's number of questions and candidates."""
    return [
        one
        for name, (count, candidates) in plan.items()
        for one in labelled_questions(sets / name, min(count, most), candidates)
    ]


def graded_pairs(labelled: Sequence[Labelled]) -> int:
    """Count the pairs of all questions."""
    return sum(len(one.grades) for one in labelled)
