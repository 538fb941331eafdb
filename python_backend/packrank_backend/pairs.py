"""Query and passages -> token ids of each pair, within the limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.longest_first import cut_longest_first, first_tokens
from packrank_backend.prompt import pair_text
from packrank_backend.truncation import Truncate


@dataclass(frozen=True)
class Question:
    """One request: a query, its passages, and what to do with a pair over the limit.

    `max_query_tokens` and `max_passage_tokens` cut the query and each passage first; None leaves them whole.
    `max_pair_tokens` lowers the model's limit of a pair for this question.
    """

    query: str
    passages: Sequence[str]
    truncate: Truncate = Truncate.NONE
    max_passage_tokens: int | None = None
    max_query_tokens: int | None = None
    max_pair_tokens: int | None = None


@dataclass(frozen=True)
class EncodedPairs:
    """The pairs of one question: their token ids, and their token counts before truncation."""

    ids: list[list[int]]
    untruncated_token_counts: list[int]


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
    tokenizer: Tokenizer, questions: Sequence[Question], limits: PairLimits
) -> list[EncodedPairs | InvalidRequest]:
    """Return the token ids of each question's pairs, in order; a refused question gets its error instead.

    One call tokenises all questions, on every core. Each pair is tokenised as one text: ids of its parts would
    differ where a token spans the seam.
    """
    checked: list[Question | InvalidRequest] = []
    for question in questions:
        try:
            check_question(question, limits)
            checked.append(replace(question, query=first_tokens(tokenizer, question.query, question.max_query_tokens)))
        except InvalidRequest as error:
            checked.append(error)
    accepted = [question for question in checked if isinstance(question, Question)]
    texts = [pair_text(question.query, passage) for question in accepted for passage in question.passages]
    encodings = iter(tokenizer.encode_batch_fast(texts))
    answers: list[EncodedPairs | InvalidRequest] = []
    for answer in checked:
        if isinstance(answer, InvalidRequest):
            answers.append(answer)
            continue
        whole = [next(encodings).ids for _ in answer.passages]
        try:
            cut = _within_limits(tokenizer, answer, _passages_cut(tokenizer, answer, whole), limits)
            answers.append(EncodedPairs(cut, [len(ids) for ids in whole]))
        except InvalidRequest as error:
            answers.append(error)
    return answers


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
    tokenizer: Tokenizer, question: Question, pairs: list[list[int]], limits: PairLimits
) -> list[list[int]]:
    limit = min(limits.max_pair_tokens, question.max_pair_tokens or limits.max_pair_tokens)
    for index, ids in enumerate(pairs):
        if len(ids) <= limit:
            continue
        if question.truncate is Truncate.LONGEST_FIRST:
            passage = first_tokens(tokenizer, question.passages[index], question.max_passage_tokens)
            pairs[index] = cut_longest_first(tokenizer, question.query, passage, limit)
            continue
        question_tokens = _question_tokens(tokenizer, question.query, question.passages[index])
        if question_tokens >= limit:
            raise InvalidRequest(
                ErrorKind.QUERY_TOO_LONG,
                f"query takes {question_tokens} tokens with the prompt, which leaves no room for a passage; "
                f"the limit for both together is {limit}. Shorten the query.",
                tokens=question_tokens,
                limit=limit,
            )
        if question.truncate is Truncate.NONE:
            raise InvalidRequest(
                ErrorKind.PAIR_TOO_LONG,
                f"passages[{index}] has {len(ids)} tokens together with the query; the limit is {limit}. "
                "Shorten the passage or send truncate=END.",
                passage=index,
                tokens=len(ids),
                limit=limit,
            )
    cut = [ids[:limit] for ids in pairs]
    total = sum(map(len, cut))
    if total > limits.max_request_tokens:
        raise InvalidRequest(
            ErrorKind.TOO_MANY_TOKENS,
            f"the request has {total} tokens in {len(cut)} pairs; the limit is {limits.max_request_tokens}. "
            "Send fewer passages per request.",
            tokens=total,
            pairs=len(cut),
            limit=limits.max_request_tokens,
        )
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


def _question_tokens(tokenizer: Tokenizer, query: str, passage: str) -> int:
    """Count the tokens of prompt and query in a pair. A token that spans into the passage counts."""
    characters = len(pair_text(query, ""))
    offsets = tokenizer.encode(pair_text(query, passage)).offsets
    return sum(start < characters for start, _ in offsets)
