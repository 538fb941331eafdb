"""The fixed pairs that a built model must score as the reference does before it is published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from packrank_backend.text.question import Question
from packrank_backend.text.truncate_parameters import Truncate


@dataclass(frozen=True)
class NamedQuestion:
    """A question and the case that it covers."""

    name: str
    question: Question


@cache
def declaration_articles() -> dict[str, dict[str, str]]:
    """Read articles 1, 3 and 26 of the Universal Declaration of Human Rights in the model's 26 languages.

    Keys: ISO 639-1 code, then article number. Text: Office of the UN High Commissioner for Human Rights.
    """
    text = Path(__file__).with_name("udhr_26_languages.json").read_text(encoding="utf-8")
    return cast(dict[str, dict[str, str]], json.loads(text))


def parity_questions() -> list[NamedQuestion]:
    """List questions with 1 to 26 passages: every language, very unequal lengths, empty passages, and the limit."""
    articles = declaration_articles()
    english = articles["en"]
    beyond_the_limit = " ".join([english["26"]] * 80)
    questions = [
        NamedQuestion(f"language {code}", Question(texts["3"], [texts["1"]])) for code, texts in articles.items()
    ]
    return [
        *questions,
        NamedQuestion("one query, 26 languages", Question(english["3"], [texts["1"] for texts in articles.values()])),
        NamedQuestion("one-token passages", Question(english["3"], ["a", ".", "1"])),
        NamedQuestion("empty passage", Question("x", [""])),
        NamedQuestion("unequal lengths", Question(english["3"], ["a", " ".join([english["26"]] * 3), english["1"]])),
        NamedQuestion("at the length limit", Question(english["3"], [beyond_the_limit, "a"], Truncate.END)),
    ]
