"""Query and passages -> token ids of each pair, within the limits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from packrank_backend.deadlines import NO_DEADLINE, has_passed
from packrank_backend.errors import ErrorKind, InvalidRequest, expired_request
from packrank_backend.longest_first import cut_longest_first, first_tokens
from packrank_backend.prompt import pair_text
from packrank_backend.safe_prefix import encode_beginning, is_enough, safe_prefix
from packrank_backend.truncation import Truncate

# Questions with no more text than this are tokenised together, the others one after another.
ORDINARY_CHARACTERS = 32_768
# Text between two looks at the limits and the deadline: twice what the longest valid request has in English.
PIECE_CHARACTERS = 131_072
# How far the tokens of a query may differ between two passages: a token can span the seam.
SEAM_TOKENS = 8


@dataclass(frozen=True)
class Question:
    """One request: a query, its passages, and what to do with a pair over the limit.

    `max_query_tokens` and `max_passage_tokens` cut the query and each passage first; None leaves them whole.
    `max_pair_tokens` lowers the model's limit of a pair for this question. `deadline` is a moment as `deadlines`
    defines it.
    """

    query: str
    passages: Sequence[str]
    truncate: Truncate = Truncate.NONE
    max_passage_tokens: int | None = None
    deadline: int = NO_DEADLINE
    max_query_tokens: int | None = None
    max_pair_tokens: int | None = None


@dataclass(frozen=True)
class EncodedPairs:
    """The pairs of one question: their token ids, and their token counts before truncation.

    For a text far over the limit that count is too low, because its end is not tokenised.
    """

    ids: list[list[int]]
    untruncated_token_counts: list[int]
    deadline: int = NO_DEADLINE


@dataclass(frozen=True)
class PairLimits:
    """How much one request may hold.

    - `max_pair_tokens`: tokens of prompt, query and passage together.
    - `max_passages`: pairs.
    - `max_request_tokens`: the sum over all pairs, after truncation.
    - `max_request_padded_tokens`: pairs x longest pair. Attention works on that many rows, and an engine
      reserves memory for them.
    """

    max_pair_tokens: int
    max_passages: int
    max_request_tokens: int
    max_request_padded_tokens: int

    def __post_init__(self) -> None:
        if self.max_pair_tokens > self.max_request_tokens:
            raise ValueError(
                f"max_pair_tokens is {self.max_pair_tokens} but max_request_tokens only {self.max_request_tokens}: "
                "a pair of the longest allowed length could never be scored. Raise max_request_tokens in "
                "tokenizer/config.pbtxt or build the model with a smaller MAX_PAIR_TOKENS."
            )


def limits_from_config(model_config: str, max_pair_tokens: int) -> PairLimits:
    """Read the limits from the parameters of a tokenizer's `config.pbtxt`; `model_config` is Triton's JSON of it.

    Raises KeyError for a missing limit and ValueError for one that is not a number. Both stop the server's start.
    """
    parameters = json.loads(model_config)["parameters"]
    names = ("max_passages", "max_request_tokens", "max_request_padded_tokens")
    return PairLimits(max_pair_tokens, **{name: int(parameters[name]["string_value"]) for name in names})


def check_question(question: Question, limits: PairLimits) -> None:
    """Refuse what is wrong even before tokenising. An empty passage is valid: it is scored like any other."""
    if not question.query.strip():
        raise InvalidRequest(ErrorKind.EMPTY_QUERY, "query is empty; send a question.")
    count = len(question.passages)
    if count == 0:
        raise InvalidRequest(ErrorKind.NO_PASSAGES, "passages is empty; send at least one.")
    if count > limits.max_passages:
        raise InvalidRequest(
            ErrorKind.TOO_MANY_PASSAGES,
            f"the request has {count} passages; the limit is {limits.max_passages}. Split it into several requests.",
            passages=count,
            limit=limits.max_passages,
        )


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
    cut: list[Question] = []
    for index, question in enumerate(questions):
        try:
            check_question(question, limits)
            _check_deadline(question, clock_ns)
            cut.append(replace(question, query=first_tokens(tokenizer, question.query, question.max_query_tokens)))
            (ordinary if _characters(cut[-1]) <= ORDINARY_CHARACTERS else large).append(index)
        except InvalidRequest as error:
            cut.append(question)
            answers[index] = error
    questions = cut
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


def _pair_limit(question: Question, limits: PairLimits) -> int:
    return min(limits.max_pair_tokens, question.max_pair_tokens or limits.max_pair_tokens)


def _characters(question: Question) -> int:
    return len(question.passages) * len(question.query) + sum(map(len, question.passages))


def _check_deadline(question: Question, clock_ns: Callable[[], int]) -> None:
    if has_passed(question.deadline, clock_ns()):
        raise expired_request()


def _answer(
    tokenizer: Tokenizer, question: Question, pairs: list[list[int]], limits: PairLimits
) -> EncodedPairs | InvalidRequest:
    try:
        cut = _within_limits(tokenizer, question, _passages_cut(tokenizer, question, pairs), limits)
    except InvalidRequest as error:
        return error
    return EncodedPairs(cut, [len(ids) for ids in pairs], question.deadline)


def _encode_large(
    tokenizer: Tokenizer, question: Question, limits: PairLimits, clock_ns: Callable[[], int]
) -> list[list[int]]:
    """Return the beginning of each pair, as long as the limits can use, and refuse the question as soon as possible."""
    query_tokens = _check_query(tokenizer, question, limits)
    needed = _pair_limit(question, limits)
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
                _within_limits(tokenizer, question, beginnings[-1:], limits, first=len(beginnings) - 1)
            total += min(len(beginnings[-1]), needed)
        if total > limits.max_request_tokens + SEAM_TOKENS * len(beginnings):
            raise _too_many_tokens(total, len(texts), limits)
    return beginnings


def _check_query(tokenizer: Tokenizer, question: Question, limits: PairLimits) -> int:
    """Measure the query once, and refuse it where no passage could change that. Returns its tokens with the prompt."""
    limit = _pair_limit(question, limits)
    tokens = len(encode_beginning(tokenizer, pair_text(question.query, ""), limit).ids)
    if tokens > limit + SEAM_TOKENS and question.truncate is not Truncate.LONGEST_FIRST:
        raise _query_too_long(tokens, limit)
    total = len(question.passages) * (min(tokens, limit) - SEAM_TOKENS)
    if total > limits.max_request_tokens:
        raise _too_many_tokens(total, len(question.passages), limits)
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


def _passages_cut(tokenizer: Tokenizer, question: Question, pairs: list[list[int]]) -> list[list[int]]:
    """Cut each passage to `max_passage_tokens`."""
    limit = question.max_passage_tokens
    if limit is None:
        return list(pairs)
    return [
        # a pair within the passage's limit needs no second tokenising
        ids[: limit + _question_tokens(tokenizer, question.query, passage)] if len(ids) > limit else ids
        for ids, passage in zip(pairs, question.passages, strict=True)
    ]


def _within_limits(
    tokenizer: Tokenizer, question: Question, pairs: list[list[int]], limits: PairLimits, *, first: int = 0
) -> list[list[int]]:
    """Cut the pairs to the limit, or refuse them; `first` is the index of the first pair's passage."""
    limit = _pair_limit(question, limits)
    room_is_known = False
    for index, ids in enumerate(pairs, start=first):
        if len(ids) <= limit or room_is_known:
            continue
        if question.truncate is Truncate.LONGEST_FIRST:
            passage = first_tokens(tokenizer, question.passages[index], question.max_passage_tokens)
            pairs[index - first] = cut_longest_first(tokenizer, question.query, passage, limit)
            continue
        question_tokens = _question_tokens(tokenizer, question.query, question.passages[index])
        if question_tokens >= limit:
            raise _query_too_long(question_tokens, limit)
        if question.truncate is Truncate.NONE:
            raise InvalidRequest(
                ErrorKind.PAIR_TOO_LONG,
                f"passages[{index}] has {len(ids)} tokens together with the query; the limit is {limit}. "
                "Shorten the passage or send truncate=END.",
                passage=index,
                tokens=len(ids),
                limit=limit,
            )
        # the query's tokens hardly differ from pair to pair
        room_is_known = question_tokens + SEAM_TOKENS < limit
    cut = [ids[:limit] for ids in pairs]
    total = sum(map(len, cut))
    if total > limits.max_request_tokens:
        raise _too_many_tokens(total, len(cut), limits)
    longest = max(map(len, cut))
    if len(cut) * longest > limits.max_request_padded_tokens:
        raise InvalidRequest(
            ErrorKind.TOO_MANY_TOKENS,
            f"the request has {len(cut)} pairs, the longest of {longest} tokens; the limit of pairs x longest is "
            f"{limits.max_request_padded_tokens}. Send the long passages in a request of their own.",
            pairs=len(cut),
            longest=longest,
            limit=limits.max_request_padded_tokens,
        )
    return cut


def _query_too_long(tokens: int, limit: int) -> InvalidRequest:
    return InvalidRequest(
        ErrorKind.QUERY_TOO_LONG,
        f"query takes {tokens} tokens with the prompt, which leaves no room for a passage; "
        f"the limit for both together is {limit}. Shorten the query.",
        tokens=tokens,
        limit=limit,
    )


def _too_many_tokens(tokens: int, pairs: int, limits: PairLimits) -> InvalidRequest:
    return InvalidRequest(
        ErrorKind.TOO_MANY_TOKENS,
        f"the request has {tokens} tokens in {pairs} pairs; the limit is {limits.max_request_tokens}. "
        "Send fewer passages per request.",
        tokens=tokens,
        pairs=pairs,
        limit=limits.max_request_tokens,
    )


def _question_tokens(tokenizer: Tokenizer, query: str, passage: str) -> int:
    """Count the tokens of prompt and query in a pair. A token that spans into the passage counts."""
    characters = len(pair_text(query, ""))
    offsets = tokenizer.encode(pair_text(query, safe_prefix(passage, 0))).offsets
    return sum(start < characters for start, _ in offsets)
