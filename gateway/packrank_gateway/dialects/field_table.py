"""The table of fields in docs/gateway.md: `python -m packrank_gateway.dialects.field_table` prints it."""

from __future__ import annotations

import json

from pydantic.fields import FieldInfo

from packrank_gateway.dialects.cohere import CohereRequest
from packrank_gateway.dialects.infinity import InfinityRequest
from packrank_gateway.dialects.nim import NimRequest
from packrank_gateway.dialects.parts.fields import Ignored, Refused, RequestModel
from packrank_gateway.dialects.tei import TeiPredictRequest, TeiRequest
from packrank_gateway.dialects.vllm import VllmRequest, VllmScoreRequest
from packrank_gateway.dialects.weaviate import WeaviateRequest

COLUMNS: dict[str, type[RequestModel]] = {
    "NIM": NimRequest,
    "Cohere, Jina": CohereRequest,
    "vLLM rerank": VllmRequest,
    "vLLM score": VllmScoreRequest,
    "infinity": InfinityRequest,
    "TEI rerank": TeiRequest,
    "TEI predict": TeiPredictRequest,
    "Weaviate": WeaviateRequest,
}


def render() -> str:
    """Return both tables as Markdown: field x dialect, and why a field is refused or ignored."""
    names = dict.fromkeys(name for model in COLUMNS.values() for name in model.model_fields)
    lines = ["| field | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in sorted(names):
        cells = [_cell(model.model_fields.get(name)) for model in COLUMNS.values()]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    lines += ["", "| field | why it is refused or ignored |", "|---|---|"]
    reasons: dict[str, list[str]] = {}
    for name in sorted(names):
        for model in COLUMNS.values():
            mark = mark_of(model.model_fields[name]) if name in model.model_fields else None
            if mark is not None and name not in reasons.setdefault(mark.why, []):
                reasons[mark.why].append(name)
    lines += [f"| {', '.join(f'`{name}`' for name in fields)} | {why} |" for why, fields in reasons.items()]
    return "\n".join(lines) + "\n"


def mark_of(field: FieldInfo) -> Refused | Ignored | None:
    """Return how a field is marked; None if it is honoured."""
    return next((mark for mark in field.metadata if isinstance(mark, Refused | Ignored)), None)


def _cell(field: FieldInfo | None) -> str:
    if field is None:
        return ""
    mark = mark_of(field)
    if isinstance(mark, Refused):
        allowed = [f"`{json.dumps(value)}`" for value in mark.unless if value not in ("", {})]
        return f"only {allowed[0]}" if allowed else "refused"
    return "ignored" if mark else "yes"


if __name__ == "__main__":
    print(render(), end="")
