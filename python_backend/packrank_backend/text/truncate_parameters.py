"""What happens to a pair over the limit."""

from __future__ import annotations

import json
from enum import Enum

from packrank_backend.errors import ErrorKind, InvalidRequest


class Truncate(Enum):
    """`NONE` refuses a pair over the limit; `END` cuts the passage's tail. Both are values of NVIDIA's NIM.

    `LONGEST_FIRST` cuts the tail of query or passage, of the one that is longer, until the pair fits. It is what
    Hugging Face's tokenizers do by default, and with them TEI and infinity.
    """

    NONE = "NONE"
    END = "END"
    LONGEST_FIRST = "LONGEST_FIRST"


def truncate_from_parameters(parameters: str) -> Truncate:
    """Read `truncate` from a Triton request's parameters: a JSON object, or the empty string. Case does not matter.

    Raises InvalidRequest(INVALID_TRUNCATE) for any other value.
    """
    value = json.loads(parameters or "{}").get("truncate", Truncate.NONE.value)
    try:
        return Truncate(value.upper())
    except (AttributeError, ValueError):
        sentence = (
            f"truncate is {value!r}; send NONE (refuse a pair over the limit), END (cut the passage's tail) or "
            "LONGEST_FIRST (cut the longer of query and passage)."
        )
        raise InvalidRequest(ErrorKind.INVALID_TRUNCATE, sentence) from None


def max_passage_tokens_from_parameters(parameters: str) -> int | None:
    """Read how many tokens of each passage the model may see, None for all, from a Triton request's parameters.

    This is Cohere's max_tokens_per_doc: longer passages are cut for either value of `truncate`.

    Raises InvalidRequest(INVALID_MAX_PASSAGE_TOKENS) for anything but a whole number of at least 1.
    """
    return _whole_number(parameters, "max_passage_tokens", ErrorKind.INVALID_MAX_PASSAGE_TOKENS)


def max_query_tokens_from_parameters(parameters: str) -> int | None:
    """Read how many tokens of the query the model may see, None for all: Cohere allows 2,048.

    Raises InvalidRequest(INVALID_MAX_TOKENS) for anything but a whole number of at least 1.
    """
    return _whole_number(parameters, "max_query_tokens", ErrorKind.INVALID_MAX_TOKENS)


def max_pair_tokens_from_parameters(parameters: str) -> int | None:
    """Read the limit of one pair, None for the model's: vLLM's truncate_prompt_tokens. It never raises the model's.

    Raises InvalidRequest(INVALID_MAX_TOKENS) for anything but a whole number of at least 1.
    """
    return _whole_number(parameters, "max_pair_tokens", ErrorKind.INVALID_MAX_TOKENS)


def _whole_number(parameters: str, name: str, kind: ErrorKind) -> int | None:
    value = json.loads(parameters or "{}").get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise InvalidRequest(kind, f"{name} is {value!r}; send a whole number of at least 1, or leave it out.")
