import json
from itertools import islice
from pathlib import Path

import pytest

from packrank_training.examples import Example, follow_examples, mean_reciprocal_rank, read_examples, reciprocal_rank


def example(question: str, answer: int = 0) -> Example:
    return Example(question, ["a", "b"], answer, [0.9, 0.8], [1.0, 2.0])


def lines(*examples: Example) -> str:
    return "".join(json.dumps(vars(each)) + "\n" for each in examples)


def test_a_tie_counts_against_the_answer() -> None:
    assert reciprocal_rank([1, 2, 3], 2) == 1
    assert reciprocal_rank([3, 2, 3], 2) == 0.5
    assert reciprocal_rank([0, 0, 0, 0], 0) == 0.25


def test_the_mean_is_over_questions() -> None:
    asked = [example("x"), example("y", answer=1)]
    assert mean_reciprocal_rank(asked, lambda each: each.e5) == pytest.approx(0.75)


def test_examples_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(lines(example("x"), example("y")))
    assert read_examples(path) == [example("x"), example("y")]


def test_a_resumed_run_skips_the_examples_it_has_read(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(lines(*(example(str(number)) for number in range(5))))
    assert [each.question for each in islice(follow_examples(path, 2), 3)] == ["2", "3", "4"]
