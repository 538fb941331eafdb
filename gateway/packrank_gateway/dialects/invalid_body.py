"""What pydantic found wrong with a body -> one sentence that names the field; never the text that stood there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packrank_gateway.errors import GatewayError

# The names of a request's list of passages, as pydantic reports the place of an error.
_PASSAGES = frozenset({"passages", "documents", "texts"})
# Parts of a place that name no field: FastAPI's own, and the two forms of /rerank.
_NO_FIELDS = frozenset({"body", "tei", "vllm", "str", "DocumentObject"})


def error_from_validation(problems: Sequence[Mapping[str, Any]]) -> GatewayError:
    """The first problem, and how many more there are."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        detail = problem.get("ctx", {}).get("error", "")
        return GatewayError("malformed_json", f"the body is not JSON ({detail}); send a JSON object.")
    kind = "invalid_utf8" if problem["type"] == "string_unicode" else "invalid_field"
    place = [part for part in problem["loc"] if part not in _NO_FIELDS]
    field, index = _field(place), _passage_index(place)
    more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
    reason = "required, and missing" if problem["type"] == "missing" else problem["msg"][:300]
    sentence = f"{field}: {reason}{more}. GET /docs shows every field."
    return GatewayError(kind, sentence, passage_index=index)


def _field(place: Sequence[int | str]) -> str:
    name = ""
    for part in place:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name[:200] or "the body"


def _passage_index(place: Sequence[int | str]) -> int | None:
    if len(place) > 1 and place[0] in _PASSAGES and isinstance(place[1], int):
        return place[1]
    return None
