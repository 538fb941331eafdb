"""Queries and documents: strings, objects with a text, and lists of text parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json

from packrank_gateway.dialects.parts.fields import ImageField
from packrank_gateway.dialects.parts.list_limits import LIST_LIMITS, TEXT_LIMITS
from packrank_gateway.errors import GatewayError

# An answer wraps a returned document this many times at most, and pydantic serialises 255 levels.
_WRAPPED = 16


def text_of(value: object) -> object:
    """Return the text of `{"text": ...}` (Jina) or of vLLM's `{"content": [{"type": "text", "text": ...}]}`.

    Anything else is returned as it is, for pydantic to judge.
    """
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("content"), list):
        return "\n".join(_part_text(part) for part in value["content"])
    return value.get("text") if value.get("image") is None else value


def _part_text(part: object) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise PydanticCustomError("text_part", 'a part of `content` is not text; send {"type": "text", "text": "..."}')


def as_list(value: object) -> object:
    """Make one text, or one object, a list of one."""
    return [value] if isinstance(value, str | Mapping) else value


Text: TypeAlias = Annotated[str, BeforeValidator(text_of)]
Texts: TypeAlias = Annotated[Annotated[list[Text], *TEXT_LIMITS], BeforeValidator(as_list)]


class DocumentObject(BaseModel):
    """A document with a field `text`, or with `content`. Cohere's v1 allows other fields too (`rank_fields`)."""

    model_config = ConfigDict(extra="allow")

    text: str | None = None
    content: Any = Field(default=None, description="vLLM's list of text parts")
    image: ImageField = None

    @model_validator(mode="after")
    def _check_other_fields(self) -> Self:
        """Refuse what could not be returned, before anything is scored."""
        others: Any = {"content": self.content, **(self.model_extra or {})}
        if not self.model_extra and not self.content:
            return self
        for _ in range(_WRAPPED):
            others = [others]
        try:
            to_json(others)
        except PydanticSerializationError as error:
            if "surrogate" in str(error):
                raise PydanticCustomError("string_unicode", "a field has half a character (a lone surrogate)") from None
            raise PydanticCustomError("nested", "its fields are nested too deeply to be returned") from None
        return self


def _kind(document: object) -> str:
    """Tell pydantic which half of Document to check, so that its errors are about that half only."""
    return "object" if isinstance(document, Mapping | DocumentObject) else "string"


Document: TypeAlias = Annotated[
    Annotated[str, Tag("string")] | Annotated[DocumentObject, Tag("object")], Discriminator(_kind)
]
Documents: TypeAlias = Annotated[Annotated[list[Document], *LIST_LIMITS], BeforeValidator(as_list)]


def document_texts(documents: Sequence[Document], rank_fields: Sequence[str] | None = None) -> list[str]:
    """Return the text of each document. Raises GatewayError(invalid_field) for an object without it."""
    return [
        document if isinstance(document, str) else _object_text(document, index, rank_fields)
        for index, document in enumerate(documents)
    ]


def returned_document(document: Document) -> dict[str, Any]:
    """Return the document as Cohere does: always an object."""
    return {"text": document} if isinstance(document, str) else document.model_dump(exclude_none=True)


def _object_text(document: DocumentObject, index: int, rank_fields: Sequence[str] | None) -> str:
    if rank_fields is None and isinstance(document.content, list):
        try:
            return str(text_of({"content": document.content}))
        except PydanticCustomError as error:
            sentence = f"documents[{index}].content: {error.message()}."
            raise GatewayError("invalid_field", sentence, facts={"passage": index}) from None
    values = document.model_dump(exclude_none=True)
    wanted = rank_fields or ["text"]
    lacking = [name for name in wanted if not isinstance(values.get(name), str)]
    if lacking:
        sentence = (
            f"documents[{index}] has no string in its field {lacking[0][:100]!r}; send a string or add the field."
        )
        raise GatewayError("invalid_field", sentence, facts={"passage": index})
    if wanted == ["text"]:
        return str(values["text"])
    # Cohere's advice for structured data: YAML lines
    return "\n".join(f"{name}: {values[name]}" for name in wanted)
