"""How much one request may hold, as the configuration of the server's tokenizer says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from packrank_client.errors import ServerFault

TOKENIZER_MODEL = "tokenizer"


@dataclass(frozen=True)
class Limits:
    """Both are at least 1. `max_request_tokens` bounds the sum over all pairs of a request."""

    max_passages: int
    max_request_tokens: int


def limits_from_config(
    response: Any, *, max_passages: int | None = None, max_request_tokens: int | None = None
) -> Limits:
    """Read the tokenizer's ModelConfigResponse, except for a limit that the caller gives.

    Raises ServerFault if a limit is missing or is not a whole number of at least 1.
    """
    return Limits(
        max_passages or _parameter(response, "max_passages"),
        max_request_tokens or _parameter(response, "max_request_tokens"),
    )


def _parameter(response: Any, name: str) -> int:
    parameters = response.config.parameters
    value = str(parameters[name].string_value) if name in parameters else ""
    if not value.isdecimal() or int(value) < 1:
        raise ServerFault(
            f"the server's model {TOKENIZER_MODEL!r} states {name} as {value!r}, not as a whole number of at "
            f"least 1; give the client {name}= or correct {TOKENIZER_MODEL}/config.pbtxt."
        )
    return int(value)
