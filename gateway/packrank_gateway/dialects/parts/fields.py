"""How a dialect treats each field that its owner documents, written beside the field.

A field is honoured unless it is marked: `Refused` names it in an error, `Ignored` accepts it because it could change no
score here. `field_table` turns the marks into the table of docs/gateway.md. Fields that nobody documents are accepted,
as their owners do, but the header `x-ignored-fields` names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from packrank_gateway.telemetry.request_record import RequestRecord, record_of

_PLAIN_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_MOST_NAMED = 16


@dataclass(frozen=True)
class Refused:
    """Marks a field whose values are refused, except null and those of `unless`, which ask for nothing."""

    why: str
    unless: tuple[object, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before anything else, so that the sentence is this one."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: object) -> object:
        if value is None or any(type(value) is type(allowed) and value == allowed for allowed in self.unless):
            return value
        raise PydanticCustomError("refused_field", "this server refuses it: {why}", {"why": self.why})


@dataclass(frozen=True)
class Ignored:
    """Marks a field that is accepted and read by nothing."""

    why: str


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "send a whole number")
    return value


def _no_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "send true or false")
    return value


# Strings that spell a value are accepted, as in the pydantic models of vLLM, infinity and Xinference: RAGFlow sends
# `"return_documents": "true"`. A boolean is no number, and a number no boolean.
WholeNumber: TypeAlias = Annotated[int, BeforeValidator(_no_boolean)]
Switch: TypeAlias = Annotated[bool, BeforeValidator(_no_number)]

# Fields that several dialects share.
_PROMPT = "the model was trained with one prompt, which begins `question:`; another gives meaningless scores"
PromptField: TypeAlias = Annotated[Any, Refused(_PROMPT, unless=("", {}))]
ImageField: TypeAlias = Annotated[Any, Refused("this model reads text only; send `text`", unless=("",))]
UserField: TypeAlias = Annotated[Any, Ignored("the caller's own name for its user")]
ChunksField: TypeAlias = Annotated[Any, Ignored("documents are not chunked; max_tokens_per_doc cuts them")]


class RequestModel(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="allow")

    instruction: PromptField = None
    user: UserField = None


def record_for(request: Request, body: RequestModel) -> RequestRecord:
    """Return the request's record, with the body's undocumented fields noted for `x-ignored-fields`."""
    record = record_of(request)
    if body.model_extra:
        names = [name if _PLAIN_NAME.fullmatch(name) else "(other)" for name in body.model_extra]
        record.ignored_fields = tuple(dict.fromkeys(names[:_MOST_NAMED]))
    return record


def describe(text: str) -> Any:
    """Describe a field that is not required."""
    return Field(default=None, description=text)
