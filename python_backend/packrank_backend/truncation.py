"""What happens to a pair that is longer than the limit."""

from __future__ import annotations

import json
from enum import Enum

from packrank_backend.errors import ErrorKind, InvalidRequest


class Truncate(Enum):
    """`NONE` refuses a pair over the limit, `END` cuts the passage's tail: the two values of NVIDIA's NIM."""

    NONE = "NONE"
    END = "END"


def truncate_from_parameters(parameters: str) -> Truncate:
    """Read a Triton request's parameters: a JSON object, or the empty string. Letter case does not matter.

    Raises InvalidRequest(INVALID_TRUNCATE) for any other value.
    """
    value = json.loads(parameters or "{}").get("truncate", Truncate.NONE.value)
    try:
        return Truncate(value.upper())
    except (AttributeError, ValueError):
        sentence = f"truncate is {value!r}; send NONE (refuse a pair over the limit) or END (cut the passage's tail)."
        raise InvalidRequest(ErrorKind.INVALID_TRUNCATE, sentence) from None
