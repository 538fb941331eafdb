from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.longest_first import cut_longest_first, first_tokens
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import PairLimits, Question
from packrank_backend.text.truncate_parameters import (
    Truncate,
    max_pair_tokens_from_parameters,
    max_query_tokens_from_parameters,
)

LIMITS = PairLimits(max_pair_tokens=64, max_passages=4, max_request_tokens=200, max_request_padded_tokens=256)


@pytest.fixture(scope="module")
def tokenizer(llama3_tokenizer: Path) -> Tokenizer:
    return Tokenizer.from_file(str(llama3_tokenizer))


@pytest.fixture(scope="module")
def reference(llama3_tokenizer: Path) -> Tokenizer:
    return Tokenizer.from_file(str(llama3_tokenizer))


@pytest.mark.parametrize("query_words", [1, 5, 30, 200])
@pytest.mark.parametrize("passage_words", [1, 5, 30, 200])
@pytest.mark.parametrize("limit", [40, 41, 64])
def test_hugging_faces_longest_first(
    tokenizer: Tokenizer, reference: Tokenizer, query_words: int, passage_words: int, limit: int
) -> None:
    query, passage = "why" + " why" * (query_words - 1), " so" * passage_words
    prompt = len(tokenizer.encode(pair_text("", "")).ids)
    reference.enable_truncation(limit - prompt, strategy="longest_first")
    kept = reference.encode(query, passage, add_special_tokens=False).type_ids
    expected = pair_text("why" + " why" * (kept.count(0) - 1), " so" * kept.count(1))
    ids = cut_longest_first(tokenizer, query, passage, limit)
    assert ids == tokenizer.encode(expected).ids
    assert len(ids) == min(limit, prompt + query_words + passage_words)


def test_a_pair_is_cut_by_itself(tokenizer: Tokenizer) -> None:
    long = " why" * 300
    together = Question(long, ["so", " so" * 300], Truncate.LONGEST_FIRST)
    (answer,) = encode_questions(tokenizer, [together], LIMITS)
    assert not isinstance(answer, InvalidRequest)
    assert [len(ids) for ids in answer.ids] == [64, 64]
    for ids, passage in zip(answer.ids, together.passages, strict=True):
        (alone,) = encode_questions(tokenizer, [Question(long, [passage], Truncate.LONGEST_FIRST)], LIMITS)
        assert not isinstance(alone, InvalidRequest)
        assert alone.ids == [ids]


@pytest.mark.parametrize("truncate", list(Truncate))
def test_the_query_and_the_pair_have_limits_of_their_own(tokenizer: Tokenizer, truncate: Truncate) -> None:
    question = Question("why" + " why" * 99, ["so"], truncate, max_query_tokens=5)
    (answer,) = encode_questions(tokenizer, [question], LIMITS)
    assert not isinstance(answer, InvalidRequest)
    assert answer.ids == [tokenizer.encode(pair_text("why why why why why", "so")).ids]
    (answer,) = encode_questions(tokenizer, [Question("why", [" so" * 50], truncate, max_pair_tokens=20)], LIMITS)
    if truncate is Truncate.NONE:
        assert isinstance(answer, InvalidRequest)
        assert answer.facts["limit"] == 20
    else:
        assert not isinstance(answer, InvalidRequest)
        assert answer.ids == [tokenizer.encode(pair_text("why", " so" * 50)).ids[:20]]


def test_max_pair_tokens_never_raises_the_models_limit(tokenizer: Tokenizer) -> None:
    (answer,) = encode_questions(tokenizer, [Question("why", [" so" * 99], max_pair_tokens=1000)], LIMITS)
    assert isinstance(answer, InvalidRequest)
    assert answer.kind is ErrorKind.PAIR_TOO_LONG


@pytest.mark.parametrize(("text", "count", "start"), [("a b c", None, "a b c"), ("a b c", 2, "a b"), ("", 1, "")])
def test_first_tokens(tokenizer: Tokenizer, text: str, count: int | None, start: str) -> None:
    assert first_tokens(tokenizer, text, count) == start


@pytest.mark.parametrize("text", ["東京へ行く道" * 9, "👩‍🚀🏽é\u0301" * 9, "\u200b\u0000x" * 9])
def test_a_cut_is_inside_the_text_and_valid(tokenizer: Tokenizer, text: str) -> None:
    for count in range(1, 30):
        start = first_tokens(tokenizer, text, count)
        assert text.startswith(start)
        start.encode()


@pytest.mark.parametrize("read", [max_query_tokens_from_parameters, max_pair_tokens_from_parameters])
@pytest.mark.parametrize("value", ["0", "-1", "true", "1.5", '"5"'])
def test_other_numbers_are_refused(read: object, value: str) -> None:
    name = read.__name__.removesuffix("_from_parameters")  # type: ignore[attr-defined]
    with pytest.raises(InvalidRequest, match=name) as caught:
        read(f'{{"{name}": {value}}}')  # type: ignore[operator]
    assert caught.value.kind is ErrorKind.INVALID_MAX_TOKENS
