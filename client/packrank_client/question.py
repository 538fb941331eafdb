"""The caller's arguments, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from packrank_client.errors import InvalidRequest

_TRUNCATE = ("NONE", "END", "LONGEST_FIRST")
_INT32_MAX = 2**31 - 1

# The client has no tokenizer, so it estimates on the high side. An estimate that is too low costs a refused request,
# which is halved and sent again; one that is too high only makes chunks smaller. English has more UTF-8 bytes a token.
BYTES_PER_TOKEN = 3
# `question:`, ` \n \n passage:` and the token that begins every text.
PROMPT_TOKENS = 10


@dataclass(frozen=True)
class Question:
    """One rerank call: a query and at least one passage as UTF-8, and how to answer.

    `truncate` is NONE, END or LONGEST_FIRST. The numbers are at least 1, or None for all.
    """

    query: bytes
    passages: Sequence[bytes]
    truncate: str
    top_n: int | None
    max_passage_tokens: int | None = None
    max_query_tokens: int | None = None
    max_pair_tokens: int | None = None

    @property
    def parameters(self) -> dict[str, str | int]:
        """Triton's request parameters: what the server must know besides the texts."""
        limits = {
            "max_passage_tokens": self.max_passage_tokens,
            "max_query_tokens": self.max_query_tokens,
            "max_pair_tokens": self.max_pair_tokens,
        }
        # gRPC takes at most 64 bits, and no text has more tokens than this
        given = {name: min(limit, _INT32_MAX) for name, limit in limits.items() if limit is not None}
        return {"truncate": self.truncate, **given}


def question_from_arguments(
    query: str,
    passages: Sequence[str],
    *,
    top_n: int | None = None,
    truncate: str = "NONE",
    max_passage_tokens: int | None = None,
    max_query_tokens: int | None = None,
    max_pair_tokens: int | None = None,
) -> Question:
    """Check the arguments at run time, with the server's kinds for the server's rules.

    An empty passage is valid: it is scored like any other.

    Raises InvalidRequest.
    """
    encoded_query = _utf8(query, "query")
    if not query.strip():
        raise InvalidRequest("query is empty; send a question.", kind="empty_query")
    if isinstance(passages, str | bytes | Mapping | Set):
        name = type(passages).__name__
        sentence = f"passages is of type {name}; send a list of str, even for a single passage."
        raise InvalidRequest(sentence, kind="invalid_type")
    try:
        encoded = [_utf8(passage, f"passages[{index}]", passage=index) for index, passage in enumerate(passages)]
    except TypeError:
        sentence = f"passages is of type {type(passages).__name__}; send a list of str."
        raise InvalidRequest(sentence, kind="invalid_type") from None
    if not encoded:
        raise InvalidRequest("passages is empty; send at least one.", kind="no_passages")
    if not isinstance(truncate, str) or truncate.upper() not in _TRUNCATE:
        raise InvalidRequest(
            f"truncate is {truncate!r}; send NONE (refuse a pair over the limit), END (cut the passage's tail) or "
            "LONGEST_FIRST (cut the longer of query and passage).",
            kind="invalid_truncate",
        )
    numbers = {
        "top_n": top_n,
        "max_passage_tokens": max_passage_tokens,
        "max_query_tokens": max_query_tokens,
        "max_pair_tokens": max_pair_tokens,
    }
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            sentence = f"{name} is {number!r}; send a whole number of at least 1, or None for all."
            raise InvalidRequest(sentence, kind=f"invalid_{name}")
    return Question(encoded_query, encoded, truncate.upper(), **numbers)


def estimated_tokens(question: Question) -> list[int]:
    """Estimate the tokens of each pair from its bytes: at least one each."""
    query_bytes = len(question.query)
    return [PROMPT_TOKENS + (query_bytes + len(passage)) // BYTES_PER_TOKEN for passage in question.passages]


def _utf8(text: str, name: str, **facts: int) -> bytes:
    if not isinstance(text, str):
        sentence = f"{name} is of type {type(text).__name__}; send a str."
        raise InvalidRequest(sentence, kind="invalid_type", facts=facts)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        sentence = f"{name} cannot be encoded as UTF-8: character {error.start} is a lone surrogate. Remove it."
        raise InvalidRequest(sentence, kind="invalid_utf8", facts=facts) from None
