"""Query and passages -> token ids of each pair, within the limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tokenizers import Tokenizer

from packrank_backend.deadlines import has_passed
from packrank_backend.errors import InvalidRequest, expired_request
from packrank_backend.text.longest_first import first_tokens
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import EncodedPairs, PairLimits, Question, check_question
from packrank_backend.text.safe_prefix import encode_beginning, is_enough, safe_prefix
from packrank_backend.text.truncate_parameters import Truncate
from packrank_backend.text.truncation import (
    SEAM_TOKENS,
    pair_limit,
    passages_cut,
    query_too_long,
    too_many_tokens,
    within_limits,
)

# Questions with no more text than this are tokenised together, the others one after another.
ORDINARY_CHARACTERS = 32_768
# Text between two looks at the limits and the deadline: twice what the longest valid request has in English.
PIECE_CHARACTERS = 131_072


def encode_questions(
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    limits: PairLimits,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> list[EncodedPairs | InvalidRequest]:
    """Return the token ids of each question's pairs, in order; a refused question gets its error instead.

    Each pair is tokenised as one text: ids of its parts would differ where a token spans the seam. Of a long text only
    the beginning is tokenised (`safe_prefix`). Ordinary questions are tokenised in one call, on every core. Large ones
    come after them, piece by piece, and each piece is the last once the question is over a limit or its deadline.
    """
    answers: dict[int, EncodedPairs | InvalidRequest] = {}
    ordinary: list[int] = []
    large: list[int] = []
    questions = list(questions)
    for index, question in enumerate(questions):
        try:
            check_question(question, limits)
            _check_deadline(question, clock_ns)
        except InvalidRequest as error:
            answers[index] = error
            continue
        query = first_tokens(tokenizer, question.query, question.max_query_tokens)
        questions[index] = replace(question, query=query)
        (ordinary if _characters(questions[index]) <= ORDINARY_CHARACTERS else large).append(index)
    texts = [pair_text(q.query, passage) for q in (questions[index] for index in ordinary) for passage in q.passages]
    encodings = iter(tokenizer.encode_batch_fast(texts))
    for index in ordinary:
        whole = [next(encodings).ids for _ in questions[index].passages]
        answers[index] = _answer(tokenizer, questions[index], whole, limits)
    for index in large:
        try:
            beginnings = _encode_large(tokenizer, questions[index], limits, clock_ns)
            answers[index] = _answer(tokenizer, questions[index], beginnings, limits)
        except InvalidRequest as error:
            answers[index] = error
    return [answers[index] for index in range(len(questions))]


def _characters(question: Question) -> int:
    return len(question.passages) * len(question.query) + sum(map(len, question.passages))


def _check_deadline(question: Question, clock_ns: Callable[[], int]) -> None:
    if has_passed(question.deadline, clock_ns()):
        raise expired_request()


def _answer(
    tokenizer: Tokenizer, question: Question, pairs: list[list[int]], limits: PairLimits
) -> EncodedPairs | InvalidRequest:
    try:
        cut = within_limits(tokenizer, question, passages_cut(tokenizer, question, pairs), limits)
    except InvalidRequest as error:
        return error
    return EncodedPairs(cut, [len(ids) for ids in pairs], question.deadline)


def _encode_large(
    tokenizer: Tokenizer, question: Question, limits: PairLimits, clock_ns: Callable[[], int]
) -> list[list[int]]:
    """Return the beginning of each pair, as long as the limits can use, and refuse the question as soon as possible."""
    query_tokens = _check_query(tokenizer, question, limits)
    needed = pair_limit(question, limits)
    if question.max_passage_tokens is not None:
        needed = min(needed, query_tokens + SEAM_TOKENS + question.max_passage_tokens)
    beginnings: list[list[int]] = []
    total = 0
    texts = [pair_text(question.query, passage) for passage in question.passages]
    for piece in _pieces([safe_prefix(text, needed) for text in texts]):
        _check_deadline(question, clock_ns)
        for encoding, prefix in zip(tokenizer.encode_batch_fast(piece), piece, strict=True):
            text = texts[len(beginnings)]
            ids = encoding.ids
            beginnings.append(
                ids if is_enough(ids, prefix, text, needed) else encode_beginning(tokenizer, text, needed).ids
            )
            if question.truncate is Truncate.NONE and question.max_passage_tokens is None:
                within_limits(tokenizer, question, beginnings[-1:], limits, first=len(beginnings) - 1)
            total += min(len(beginnings[-1]), needed)
        if total > limits.max_request_tokens + SEAM_TOKENS * len(beginnings):
            raise too_many_tokens(total, len(texts), limits)
    return beginnings


def _check_query(tokenizer: Tokenizer, question: Question, limits: PairLimits) -> int:
    """Measure the query once, and refuse it where no passage could change that. Returns its tokens with the prompt."""
    limit = pair_limit(question, limits)
    tokens = len(encode_beginning(tokenizer, pair_text(question.query, ""), limit).ids)
    if tokens > limit + SEAM_TOKENS and question.truncate is not Truncate.LONGEST_FIRST:
        raise query_too_long(tokens, limit)
    total = len(question.passages) * (min(tokens, limit) - SEAM_TOKENS)
    if total > limits.max_request_tokens:
        raise too_many_tokens(total, len(question.passages), limits)
    return tokens


def _pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    """Cut a list of texts into lists of about `PIECE_CHARACTERS` each."""
    piece: list[str] = []
    characters = 0
    for text in texts:
        piece.append(text)
        characters += len(text)
        if characters >= PIECE_CHARACTERS:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece
