"""The server's refusals: `kind {facts}: sentence` on the wire -> an InvalidRequest in the caller's terms.

The server counts passages within one request. A question may be split into several, so the client renumbers the
passage at fault and writes the sentence again. An API with other field names passes its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from packrank_client.errors import InvalidRequest

# The kinds that the ensemble refuses; `packrank_backend.errors` has the same list.
KINDS = (
    "invalid_batch",
    "invalid_utf8",
    "empty_query",
    "no_passages",
    "too_many_passages",
    "too_many_tokens",
    "query_too_long",
    "pair_too_long",
    "invalid_truncate",
    "invalid_max_passage_tokens",
    "invalid_max_tokens",
)
# Cured by sending the same passages in smaller requests.
SPLITTABLE_KINDS = frozenset({"too_many_passages", "too_many_tokens"})

# The sentences that depend on the caller: they number a passage, or name a field that other APIs call otherwise.
_SENTENCES = {
    "invalid_utf8": "{field}[{passage}] is not valid UTF-8 at byte {byte}; encode the text as UTF-8.",
    "no_passages": "{field} is empty; send at least one.",
    "pair_too_long": "{field}[{passage}] has {tokens} tokens together with the query; the limit is {limit}. "
    "Shorten the passage or send {remedy}.",
}
_decoder = json.JSONDecoder()


class Refusal(NamedTuple):
    """A refusal as the server wrote it. `facts["passage"]` counts within the refused request."""

    kind: str
    facts: dict[str, Any]
    sentence: str


def parse_refusal(message: str) -> Refusal | None:
    """Find a refusal in a gRPC message, behind Triton's own words; None if there is none."""
    space = message.find(" {")
    while space >= 0:
        kind = message[:space].rpartition(" ")[2]
        if kind in KINDS:
            try:
                facts, end = _decoder.raw_decode(message, space + 1)
            except (ValueError, RecursionError):
                return None
            if message.startswith(": ", end):
                return Refusal(kind, facts, message[end + 2 :])
        space = message.find(" {", space + 1)
    return None


def error_from_refusal(refusal: Refusal, chunk: Sequence[int] = ()) -> InvalidRequest:
    """Make the caller's error of a refused request that held the passages `chunk`, indexes in the caller's list."""
    facts = dict(refusal.facts)
    place = facts.pop("passage", None)
    if type(place) is int and 0 <= place < len(chunk):
        facts["passage"] = chunk[place]
    elif refusal.kind in SPLITTABLE_KINDS and len(chunk) == 1:
        facts["passage"] = chunk[0]  # this passage alone is too large
    sentence = render_sentence(refusal.kind, facts) or refusal.sentence
    return InvalidRequest(sentence, kind=refusal.kind, facts=facts)


def render_sentence(
    kind: str, facts: Mapping[str, Any], *, field: str = "passages", remedy: str = "truncate=END"
) -> str | None:
    """Write the sentence of a kind in an API's words; None for a kind whose sentence is the same in all of them.

    `field` names the list of passages, and `remedy` the option that cuts passages over the limit.
    """
    template = _SENTENCES.get(kind)
    if template is None:
        return None
    try:
        return template.format_map({**facts, "field": field, "remedy": remedy})
    except KeyError:  # a fact is missing
        return None
