"""What the answers of several dialects share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field, RootModel
from starlette.responses import Response

# Nothing, or true: an answer leaves out fields that are None.
Truncated: TypeAlias = Annotated[
    bool | None, Field(description="extension: true if the tail was cut, otherwise left out")
]


class TokenUsage(BaseModel):
    """Tokens of all pairs, after truncation."""

    prompt_tokens: int
    total_tokens: int


def token_usage(tokens: int) -> TokenUsage:
    """A reranker reads its prompt and writes no tokens, so both counts are the same."""
    return TokenUsage(prompt_tokens=tokens, total_tokens=tokens)


def json_response(answer: BaseModel | RootModel[object]) -> Response:
    """Serialise an answer without its None fields. FastAPI would validate it a second time; this does not."""
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
