"""Phrase headings and descriptions as people ask."""

from __future__ import annotations

import random
import re

_IMPERATIVES_TEXT = (
    "access add adjust allow apply assign backup build burn calculate change check choose clean clear close combine "
    "compare compile configure connect convert copy create customize cut debug define delete deploy disable "
    "disconnect display download draw edit enable encrypt enter export extract filter find fix format generate get "
    "give handle hide import improve insert install keep launch limit link list load lock log make manage mark merge "
    "modify monitor mount move open organize override paste play prevent print protect read record recover redirect "
    "reduce remove rename repair replace report reset resize restart restore restrict rotate run save scan search "
    "select send set share show sort specify split start stop store switch synchronize take test transfer turn "
    "undo uninstall unlock update upgrade use verify view watch work write"
)
_IMPERATIVES = frozenset(_IMPERATIVES_TEXT.split())
_HOW = ("How do I {}?", "How can I {}?", "How to {}", "What is the way to {}?", "I want to {}")
_WHAT = ("What is {}?", "What is {}?", "How does {} work?", "What about {}?", "Explain {}", "{}")
_WHAT_ARE = ("What are {}?", "What are {}?", "How do {} work?", "What about {}?", "Explain {}", "{}")
_PACKAGE = ("What is a package for {}?", "How can I get {}?", "Which software provides {}?", "I need {}", "{}", "{}")


def question_from_heading(heading: str, rng: random.Random) -> str:
    """Phrase a heading: "Installing X" becomes "How do I install X?", and "X" may become "What is X?".

    A heading that is a question stays as it is.
    """
    if heading.endswith("?"):
        return heading
    phrase = _lower_first(heading.rstrip(" .:"))
    if rng.random() < 0.2:
        return phrase
    first, _, rest = phrase.partition(" ")
    how_to = re.match(r"how to (.+)", phrase, re.IGNORECASE)
    if how_to:
        return rng.choice(_HOW).format(how_to[1])
    if first in _IMPERATIVES:
        return rng.choice(_HOW).format(phrase)
    base = base_form(first) if rest else None
    if base:
        return rng.choice(_HOW).format(f"{base} {rest}")
    plural = re.search(r"[^su]s$", phrase.split(" of ")[0].split(" in ")[0]) is not None
    return rng.choice(_WHAT_ARE if plural else _WHAT).format(phrase)


def question_from_description(description: str, rng: random.Random) -> str:
    """Phrase a package's one-line description as a request for it."""
    plain = re.sub(r"\s*[-(].*$", "", description) if rng.random() < 0.3 else description
    return rng.choice(_PACKAGE).format(_lower_first(plain or description))


def question_from_passage(passage: str, rng: random.Random) -> tuple[str, str] | None:
    """Take one of the passage's first sentences out as its question (inverse cloze task, Lee et al. 2019).

    Returns the sentence and the passage without it. Returns None if there are fewer than four sentences, or none of a
    question's length.
    """
    sentences = re.split(r"(?<=[.?!])\s+", passage)
    usable = [place for place, sentence in enumerate(sentences[:4]) if 30 <= len(sentence) <= 160]
    if len(sentences) < 4 or not usable:
        return None
    place = rng.choice(usable)
    return sentences[place], " ".join(sentences[:place] + sentences[place + 1 :])


def base_form(gerund: str) -> str | None:
    """Return the verb of an English gerund ("removing" -> "remove"), or None if the verb is unknown."""
    if not gerund.endswith("ing"):
        return None
    stem = gerund.removesuffix("ing")
    for candidate in (stem, stem + "e", stem[:-1]):
        if candidate in _IMPERATIVES:
            return candidate
    return None


def _lower_first(text: str) -> str:
    """Lower the first letter, unless the first word is an acronym. Lower all of a text in Title Case."""
    if all(word.istitle() or word.islower() for word in re.findall(r"[A-Za-z]+", text)) and text.count(" ") >= 1:
        return text.lower()
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first[1:].islower() or len(first) == 1 else text
