"""What happens to a pair over the limit."""

from __future__ import annotations

import json
from enum import Enum

from packrank_backend.errors import ErrorKind, InvalidRequest


class Truncate(Enum):
    """`NONE` refuses a pair over the limit; `END` cuts the passage's tail. Both are values of NVIDIA's NIM."""

    NONE = "NONE"
    END = "END"


def truncate_from_parameters(parameters: str) -> Truncate:
    """Read `truncate` from a Triton request's parameters: a JSON object, or the empty string. Case does not matter.

    Raises InvalidRequest(INVALID_TRUNCATE) for any other value.
    """
    value = json.loads(parameters or "{}").get("truncate", Truncate.NONE.value)
    try:
        return Truncate(value.upper())
    except (AttributeError, ValueError):
        sentence = f"truncate is {value!r}; send NONE (refuse a pair over the limit) or END (cut the passage's tail)."
        raise InvalidRequest(ErrorKind.INVALID_TRUNCATE, sentence) from None


def max_passage_tokens_from_parameters(parameters: str) -> int | None:
    """Read how many tokens of each passage the model may see, None for all, from a Triton request's parameters.

    This is Cohere's max_tokens_per_doc: longer passages are cut for either value of `truncate`.

    Raises InvalidRequest(INVALID_MAX_PASSAGE_TOKENS) for anything but a whole number of at least 1.
    """
    value = json.loads(parameters or "{}").get("max_passage_tokens")
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    sentence = f"max_passage_tokens is {value!r}; send a whole number of at least 1, or leave it out."
    raise InvalidRequest(ErrorKind.INVALID_MAX_PASSAGE_TOKENS, sentence)
