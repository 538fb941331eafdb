"""pydantic's findings in a body -> one sentence that names the field, and never quotes its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packrank_gateway.errors import GatewayError

# The names of a request's list of passages, as pydantic reports the place of an error.
_PASSAGES = frozenset({"passages", "documents", "texts", "inputs", "text_2", "items", "data_2"})
# Parts of a place that name no field: FastAPI's own, and the two forms of /rerank.
_NO_FIELDS = frozenset({"body", "tei", "vllm", "weaviate", "nim", "predict", "score", "string", "object"})


def error_from_validation(problems: Sequence[Mapping[str, Any]]) -> GatewayError:
    """Describe the first problem, and count the others."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        detail = problem.get("ctx", {}).get("error", "")
        return GatewayError("malformed_json", f"the body is not JSON ({detail}); send a JSON object.")
    kind = "invalid_utf8" if problem["type"] == "string_unicode" else "invalid_field"
    place = [part for part in problem["loc"] if part not in _NO_FIELDS]
    if problem["type"] == "too_long" and place and place[-1] in _PASSAGES:
        limit = problem["ctx"]["max_length"]
        sentence = f"the request has more than {limit} passages. Split it into several requests."
        return GatewayError("too_many_passages", sentence, facts={"limit": limit})
    more = f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
    reason = "required, and missing" if problem["type"] == "missing" else problem["msg"][:300]
    sentence = f"{_field(place)}: {reason}{more}. GET /docs shows every field."
    return GatewayError(kind, sentence, facts=_facts(place))


def _field(place: Sequence[int | str]) -> str:
    name = ""
    for part in place:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name[:200] or "the body"


def _facts(place: Sequence[int | str]) -> dict[str, int]:
    if len(place) > 1 and place[0] in _PASSAGES and isinstance(place[1], int):
        return {"passage": place[1]}
    return {}
