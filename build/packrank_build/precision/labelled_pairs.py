"""Labelled pairs in 26 languages that need no download.

English questions with the passage that was written for each, among nine others (quantize/calibration_pairs.json), and
articles of the Universal Declaration of Human Rights: the question is an article in one language, the passages are ten
articles in another, and the answer is the same article. One of the two languages is English.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from packrank_backend.text.question import Question
from packrank_backend.text.truncate_parameters import Truncate

PASSAGES = 10  # per question
QUESTIONS_PER_LANGUAGE = 3


@dataclass(frozen=True)
class LabelledQuestion:
    """A question with ten passages, of which `question.passages[answer]` is the only relevant one."""

    question: Question
    answer: int


def labelled_questions() -> list[LabelledQuestion]:
    """111 questions in a seeded random order, so that any part of the list is a fair sample."""
    ordered = [*_english_questions(), *_articles_across_languages()]
    return [ordered[place] for place in np.random.default_rng(0).permutation(len(ordered))]


def _english_questions() -> list[LabelledQuestion]:
    rows = _read(Path(__file__).parents[1] / "quantize" / "calibration_pairs.json")
    labelled = []
    for place, row in enumerate(rows):
        answer = place % PASSAGES
        passages = [rows[(place + step - answer) % len(rows)]["passage"] for step in range(PASSAGES)]
        labelled.append(LabelledQuestion(Question(row["query"], passages, Truncate.END), answer))
    return labelled


def _articles_across_languages() -> list[LabelledQuestion]:
    languages = _read(Path(__file__).with_name("labelled_articles.json"))
    english = languages.pop("en")
    numbers = list(english)
    labelled = []
    for turn in range(QUESTIONS_PER_LANGUAGE):
        for place, articles in enumerate(languages.values()):
            answer = (place + 3 * turn) % len(numbers)
            asked, found = (english, articles) if (place + turn) % 2 == 0 else (articles, english)
            passages = [found[number] for number in numbers]
            labelled.append(LabelledQuestion(Question(asked[numbers[answer]], passages, Truncate.END), answer))
    return labelled


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
