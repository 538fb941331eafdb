from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from benchmarks.workload import (
    MIXES,
    few_long,
    log_normal,
    mixed_questions,
    question_of_lengths,
    token_count,
    uniform_128,
)
from packrank_backend.text.prompt import pair_text


def test_the_same_seed_gives_the_same_requests() -> None:
    assert mixed_questions(8) == mixed_questions(8)
    assert mixed_questions(8) != mixed_questions(8, seed=1)


def test_lengths_are_mixed_within_their_bounds() -> None:
    questions = mixed_questions(64)
    counts = [len(question.passages) for question in questions]
    words = [len(passage.split()) for question in questions for passage in question.passages]
    assert (min(counts), max(counts)) == (1, 20)
    assert min(words) < 20
    assert 200 < max(words) <= 380
    assert min(words) >= 8


def test_each_mix_is_what_its_name_says() -> None:
    assert set(uniform_128(10)) == {128}
    short = log_normal(10_000)
    assert (short.min(), short.max()) == (16, 512)
    assert np.median(short) == pytest.approx(100, abs=3)
    mixed = few_long(200)
    assert ((mixed >= 2048) & (mixed <= 8192)).sum() == 10
    assert (mixed <= 512).sum() == 190
    assert (few_long(3) >= 2048).sum() == 1


@pytest.mark.parametrize("mix", MIXES)
def test_the_same_seed_gives_the_same_lengths(mix: str) -> None:
    assert np.array_equal(MIXES[mix](64, 3), MIXES[mix](64, 3))


def test_the_texts_have_these_lengths(llama3_tokenizer: Path) -> None:
    tokenizer = Tokenizer.from_file(str(llama3_tokenizer))
    lengths = [16, 17, 40, 128, 513]
    question = question_of_lengths(tokenizer, lengths)
    found = [len(tokenizer.encode(pair_text(question.query, passage)).ids) for passage in question.passages]
    assert found == pytest.approx(lengths, abs=2)
    assert token_count([question], tokenizer) == sum(found)
    assert len(set(question.passages)) == len(lengths)
    assert question == question_of_lengths(tokenizer, lengths)
    assert question != question_of_lengths(tokenizer, lengths, seed=1)
