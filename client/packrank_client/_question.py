"""The caller's arguments, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from packrank_client.errors import InvalidRequest

_TRUNCATE = ("NONE", "END")
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Question:
    """One rerank call: a query and at least one passage as UTF-8, and how to answer.

    `truncate` is NONE or END; `top_n` and `max_passage_tokens` are None (all) or at least 1.
    """

    query: bytes
    passages: Sequence[bytes]
    truncate: str
    top_n: int | None
    max_passage_tokens: int | None = None

    @property
    def parameters(self) -> dict[str, str | int]:
        """What the server must know beside the texts: Triton's request parameters."""
        if self.max_passage_tokens is None:
            return {"truncate": self.truncate}
        # gRPC has room for 64 bits, a passage for far fewer tokens
        return {"truncate": self.truncate, "max_passage_tokens": min(self.max_passage_tokens, _INT32_MAX)}


def question_from_arguments(
    query: str,
    passages: Sequence[str],
    *,
    top_n: int | None = None,
    truncate: str = "NONE",
    max_passage_tokens: int | None = None,
) -> Question:
    """Check what the types of Python do not; the kinds are the server's where it has the same rule.

    Raises InvalidRequest. An empty passage is fine: it is scored like any other.
    """
    encoded_query = _utf8(query, "query", None)
    if not query.strip():
        raise InvalidRequest("query is empty; send a question.", kind="empty_query")
    if isinstance(passages, str | bytes | Mapping | Set):
        name = type(passages).__name__
        sentence = f"passages is of type {name}; send a list of str, also when it holds only one."
        raise InvalidRequest(sentence, kind="invalid_type")
    try:
        encoded = [_utf8(passage, f"passages[{index}]", index) for index, passage in enumerate(passages)]
    except TypeError:
        sentence = f"passages is of type {type(passages).__name__}; send a list of str."
        raise InvalidRequest(sentence, kind="invalid_type") from None
    if not encoded:
        raise InvalidRequest("passages is empty; send at least one.", kind="no_passages")
    if not isinstance(truncate, str) or truncate.upper() not in _TRUNCATE:
        raise InvalidRequest(
            f"truncate is {truncate!r}; send NONE (refuse a pair over the limit) or END (cut the passage's tail).",
            kind="invalid_truncate",
        )
    for name, number in (("top_n", top_n), ("max_passage_tokens", max_passage_tokens)):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            sentence = f"{name} is {number!r}; send a whole number of at least 1, or None for all."
            raise InvalidRequest(sentence, kind=f"invalid_{name}")
    return Question(encoded_query, encoded, truncate.upper(), top_n, max_passage_tokens)


def _utf8(text: str, name: str, passage_index: int | None) -> bytes:
    if not isinstance(text, str):
        raise InvalidRequest(
            f"{name} is of type {type(text).__name__}; send a str.",
            kind="invalid_type",
            passage_index=passage_index,
        )
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{name} cannot be encoded as UTF-8: character {error.start} is a lone surrogate.",
            kind="invalid_utf8",
            passage_index=passage_index,
        ) from None
