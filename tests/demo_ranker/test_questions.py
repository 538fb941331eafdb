import random

import pytest

from packrank_training.questions import (
    base_form,
    question_from_description,
    question_from_heading,
    question_from_passage,
)


def phrasings(heading: str) -> set[str]:
    return {question_from_heading(heading, random.Random(seed)) for seed in range(200)}


def test_a_question_stays_as_it_is() -> None:
    assert phrasings("What is Debian?") == {"What is Debian?"}


@pytest.mark.parametrize("heading", ["Installing a package", "Install a package", "How to install a package"])
def test_tasks_become_how_questions(heading: str) -> None:
    assert "How do I install a package?" in phrasings(heading)
    assert not any(question.startswith("What is installing") for question in phrasings(heading))


def test_nouns_become_what_questions() -> None:
    assert {"What is a signed archive?", "a signed archive"} <= phrasings("A signed archive")
    assert "What are reserved words?" in phrasings("Reserved Words")


def test_names_keep_their_capitals() -> None:
    assert "What is SSH access?" in phrasings("SSH access")


@pytest.mark.parametrize(
    ("gerund", "verb"),
    [("removing", "remove"), ("setting", "set"), ("building", "build"), ("king", None), ("run", None)],
)
def test_base_forms(gerund: str, verb: str | None) -> None:
    assert base_form(gerund) == verb


def test_a_description_becomes_a_request() -> None:
    found = {question_from_description("Text editor (small)", random.Random(seed)) for seed in range(200)}
    assert {"How can I get text editor?", "I need text editor (small)"} <= found


def test_a_sentence_becomes_the_question_for_the_rest() -> None:
    passage = "The first sentence has many words. The second one is here too. The third is a bit longer still. End."
    question, rest = question_from_passage(passage, random.Random(0)) or ("", "")
    assert question in passage
    assert question not in rest
    assert len(question) + len(rest) + 1 == len(passage)
    assert question_from_passage("One. Two.", random.Random(0)) is None
