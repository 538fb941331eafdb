"""Labelled pairs in 26 languages that need no download: articles of the Universal Declaration of Human Rights.

A question is an article in one language, its passages are ten articles in another, and the answer is the same article.
One of the two languages is English. Calibration and the parity gate use other articles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from packrank_backend.pairs import Question
from packrank_backend.truncation import Truncate

QUESTIONS_OF_A_LANGUAGE = 4


@dataclass(frozen=True)
class LabelledQuestion:
    """A question with several passages, of which `question.passages[answer]` is the only relevant one."""

    question: Question
    answer: int


def labelled_questions() -> list[LabelledQuestion]:
    """100 questions with 10 passages each: half from English to another language, half the other way."""
    text = Path(__file__).with_name("labelled_articles.json").read_text(encoding="utf-8")
    languages: dict[str, dict[str, str]] = json.loads(text)
    english = languages.pop("en")
    numbers = list(english)
    labelled = []
    for place, articles in enumerate(languages.values()):
        for step in range(QUESTIONS_OF_A_LANGUAGE):
            answer = (place * QUESTIONS_OF_A_LANGUAGE + step) % len(numbers)
            asked, found = (english, articles) if step % 2 == 0 else (articles, english)
            passages = [found[number] for number in numbers]
            labelled.append(LabelledQuestion(Question(asked[numbers[answer]], passages, Truncate.END), answer))
    return labelled
