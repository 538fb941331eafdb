"""A model of an answer -> a response, without the optional fields that are not set."""

from __future__ import annotations

from pydantic import BaseModel, RootModel
from starlette.responses import Response


def json_response(answer: BaseModel | RootModel[object]) -> Response:
    """Written by pydantic in one go; what FastAPI would check once more is already checked."""
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
