from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.prompt import PROMPT, pair_text
from packrank_backend.text.question import EncodedPairs, PairLimits, Question
from packrank_backend.text.truncate_parameters import Truncate
from packrank_build.graph.parity_pairs import declaration_articles

LIMITS = PairLimits(max_pair_tokens=64, max_passages=4, max_request_tokens=150, max_request_padded_tokens=180)
WIDE = PairLimits(8192, max_passages=512, max_request_tokens=100_000, max_request_padded_tokens=1_000_000)


@pytest.fixture(scope="module")
def tokenizer(llama3_tokenizer: Path) -> Tokenizer:
    return Tokenizer.from_file(str(llama3_tokenizer))


@pytest.fixture(scope="module")
def hugging_face(llama3_tokenizer: Path) -> transformers.PreTrainedTokenizerFast:
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(llama3_tokenizer))


def encode(tokenizer: Tokenizer, question: Question, limits: PairLimits = LIMITS) -> list[list[int]]:
    (answer,) = encode_questions(tokenizer, [question], limits)
    if isinstance(answer, InvalidRequest):
        raise answer
    return answer.ids


def test_the_prompt_is_the_model_cards() -> None:
    assert pair_text("how?", "so.") == "question:how? \n \n passage:so."
    assert PROMPT == "question:{query} \n \n passage:{passage}"
    assert pair_text("{passage}", "{query}") == "question:{passage} \n \n passage:{query}"


@pytest.mark.parametrize("language", declaration_articles())
def test_ids_are_hugging_faces_on_the_whole_text(
    language: str, tokenizer: Tokenizer, hugging_face: transformers.PreTrainedTokenizerFast
) -> None:
    articles = declaration_articles()[language]
    question = Question(articles["3"], [articles["1"], articles["26"], "", " ", f"\n{articles['3']}\n"])
    expected = [hugging_face(f"question:{question.query} \n \n passage:{p}")["input_ids"] for p in question.passages]
    assert encode(tokenizer, question, WIDE) == expected
    assert all(ids[0] == 128000 for ids in expected), "BOS comes first"
    assert hugging_face.decode(expected[0][1:]) == pair_text(question.query, question.passages[0])


def test_a_pair_at_the_limit_is_whole_and_one_over_is_refused(tokenizer: Tokenizer) -> None:
    passage = " word" * 100
    over = len(tokenizer.encode(pair_text("why?", passage)).ids) - 64
    at_limit = Question("why?", [passage[: -5 * over]])
    assert [len(ids) for ids in encode(tokenizer, at_limit)] == [64]
    with pytest.raises(
        InvalidRequest,
        match=r'^pair_too_long \{"passage":1,"tokens":65,"limit":64\}: passages\[1\] has 65 tokens .* the limit is 64',
    ) as caught:
        encode(tokenizer, Question("why?", ["short", passage[: -5 * (over - 1)]]))
    assert caught.value.kind is ErrorKind.PAIR_TOO_LONG


def test_end_cuts_the_passages_tail_only(tokenizer: Tokenizer) -> None:
    question = Question("why?", [" word" * 500, "short"], Truncate.END)
    cut, whole = encode(tokenizer, question)
    assert cut == tokenizer.encode(pair_text("why?", " word" * 500)).ids[:64]
    assert whole == tokenizer.encode(pair_text("why?", "short")).ids
    assert tokenizer.decode(cut).startswith("question:why? \n \n passage: word")


def test_what_a_pair_had_before_it_was_cut_is_told(tokenizer: Tokenizer) -> None:
    question = Question("why?", [" word" * 500, "short"], Truncate.END)
    (answer,) = encode_questions(tokenizer, [question], LIMITS)
    assert isinstance(answer, EncodedPairs)
    assert answer.untruncated_token_counts == [
        len(tokenizer.encode(pair_text("why?", passage)).ids) for passage in question.passages
    ]
    assert [len(ids) for ids in answer.ids] == [64, answer.untruncated_token_counts[1]]


@pytest.mark.parametrize("truncate", Truncate)
def test_a_passage_is_cut_to_its_own_limit(tokenizer: Tokenizer, truncate: Truncate) -> None:
    passages = [" word" * 500, " one two three", " one two three four", ""]
    pairs = encode(tokenizer, Question("why?", passages, truncate, max_passage_tokens=3))
    assert [tokenizer.decode(ids).partition("passage:")[2] for ids in pairs] == [
        " word word word",
        " one two three",
        " one two three",
        "",
    ]


@pytest.mark.parametrize("truncate", [Truncate.NONE, Truncate.END])
def test_a_query_that_leaves_no_room_is_refused(tokenizer: Tokenizer, truncate: Truncate) -> None:
    with pytest.raises(InvalidRequest, match="query takes 1?[0-9]+ tokens .* leaves no room") as caught:
        encode(tokenizer, Question("why " * 80, ["because"], truncate))
    assert caught.value.facts.keys() == {"tokens", "limit"}


def test_a_long_query_with_one_token_of_room_is_cut_to_it(tokenizer: Tokenizer) -> None:
    prompt_tokens = len(tokenizer.encode(pair_text("", "")).ids)
    query = " why" * (63 - prompt_tokens)
    (ids,) = encode(tokenizer, Question(query, [" because of it"], Truncate.END))
    assert tokenizer.decode(ids).endswith("passage: because")
    with pytest.raises(InvalidRequest, match="query takes 64 tokens"):
        encode(tokenizer, Question(query + " why", [" because of it"], Truncate.END))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (Question("", ["a"]), ErrorKind.EMPTY_QUERY),
        (Question(" \n", ["a"]), ErrorKind.EMPTY_QUERY),
        (Question("why?", []), ErrorKind.NO_PASSAGES),
        (Question("why?", ["a"] * 5), ErrorKind.TOO_MANY_PASSAGES),
        (Question("why?", ["word " * 40] * 4), ErrorKind.TOO_MANY_TOKENS),
        (Question("why?", ["word " * 100] * 3, Truncate.END), ErrorKind.TOO_MANY_TOKENS),
        (Question("why?", ["word " * 100, "a", "b"], Truncate.END), ErrorKind.TOO_MANY_TOKENS),
    ],
)
def test_refusals(tokenizer: Tokenizer, question: Question, kind: ErrorKind) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(tokenizer, question)
    assert caught.value.kind is kind
    sentence = str(caught.value).partition(": ")[2]
    assert all(str(number) in sentence for number in caught.value.facts.values())


def test_few_tokens_are_too_many_when_one_pair_is_far_longer_than_the_others(tokenizer: Tokenizer) -> None:
    uneven = Question("why?", ["word " * 100, "a", "b"], Truncate.END)
    with pytest.raises(InvalidRequest, match=r"has 3 pairs, the longest of 64 tokens; .* pairs x longest is 180"):
        encode(tokenizer, uneven)


def test_a_refused_question_leaves_its_neighbours_alone(tokenizer: Tokenizer) -> None:
    good = Question("why?", ["because", ""])
    answers = encode_questions(tokenizer, [Question("", ["a"]), good, Question("why?", []), good], LIMITS)
    assert [isinstance(answer, InvalidRequest) for answer in answers] == [True, False, True, False]
    assert answers[1] == answers[3]
    assert isinstance(answers[1], EncodedPairs)
    assert answers[1].ids == encode(tokenizer, good)


def test_contradicting_limits_are_refused_at_start() -> None:
    with pytest.raises(ValueError, match="max_pair_tokens is 8192 but max_request_tokens only 4096"):
        PairLimits(8192, max_passages=1, max_request_tokens=4096, max_request_padded_tokens=8192)
