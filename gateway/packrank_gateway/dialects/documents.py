"""The field `documents`: each document is a string or an object, and has a text to score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from packrank_gateway.errors import GatewayError


class DocumentObject(BaseModel):
    """A document with a field `text`. Cohere's v1 allows other fields too (`rank_fields`)."""

    model_config = ConfigDict(extra="allow")

    text: str | None = None


Document: TypeAlias = str | DocumentObject
Documents: TypeAlias = Annotated[list[Document], Field(json_schema_extra={"minItems": 1})]


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
