"""One question, and how much of it a request may hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from packrank_backend.deadlines import NO_DEADLINE
from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.text.truncate_parameters import Truncate


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
