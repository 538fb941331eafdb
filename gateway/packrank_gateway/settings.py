"""Every setting of the gateway, each with a flag, an environment variable and a documented default.

No setting is a secret: accepted keys stay in their file.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

VARIABLE_PREFIX = "PACKRANK_"
MIB = 1 << 20


# The longest list that is read from a body at all.
MAX_ITEMS = 100_000


class SettingsError(Exception):
    """Settings that cannot work; the message says which and what to change."""


def _split(value: object) -> object:
    """Turn `a, b` into ("a", "b")."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


# NoDecode: pydantic-settings would take the variable for JSON
Strings: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
OptionalPath: TypeAlias = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class Settings(BaseSettings):
    """`max_passages` is `--max-passages` as a flag and PACKRANK_MAX_PASSAGES as a variable; the flag wins."""

    model_config = SettingsConfigDict(env_prefix=VARIABLE_PREFIX, frozen=True)

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 for any free one")
    triton: Strings = Field(
        default=("localhost:8001",),
        min_length=1,
        description="gRPC addresses of one or several servers, comma-separated",
    )
    model_names: Strings = Field(
        default=("nvidia/llama-3.2-nv-rerankqa-1b-v2", "nvidia/llama-nemotron-rerank-1b-v2"),
        min_length=1,
        description="names that requests may give the model, comma-separated; answers show the first",
    )
    strict_model_names: bool = Field(
        default=False,
        description="refuse unknown model names on every path; by default only NIM's paths do, and others warn",
    )
    model_directory: OptionalPath = Field(
        default=None, description="version directory of a built model, tokenizer/1; /info and the page show its facts"
    )
    max_passages: int = Field(default=512, ge=1, le=MAX_ITEMS, description="passages per request: NIM and TEI")
    max_documents: int = Field(
        default=1000, ge=1, le=MAX_ITEMS, description="documents per request: Cohere, Jina, vLLM and infinity"
    )
    max_body_bytes: int = Field(default=32 * MIB, ge=1, description="size of one request")
    max_pending_pairs: int = Field(
        default=20_000, ge=1, description="pairs of all pending requests; more are refused at once"
    )
    max_pending_tokens: int = Field(
        default=2_000_000, ge=1, description="estimated tokens of all pending requests; more are refused at once"
    )
    max_pending_body_bytes: int = Field(
        default=256 * MIB, ge=1, description="bytes of all request bodies in memory; more are refused at once"
    )
    max_running_tokens: int | None = Field(
        default=None,
        ge=1,
        description="estimated tokens at one model server at a time, the others wait here; by default what its "
        "ranker's batch limit asks for",
    )
    body_timeout_s: float = Field(
        default=30.0, ge=1, allow_inf_nan=False, description="time for the body of a request, whatever its deadline"
    )
    timeout_s: float = Field(
        default=30.0,
        ge=1,
        allow_inf_nan=False,
        description="deadline of a request without the header x-request-timeout-s",
    )
    max_timeout_s: float = Field(
        default=300.0, ge=1, allow_inf_nan=False, description="longest deadline that a header may ask for"
    )
    drain_timeout_s: int = Field(
        default=60, ge=1, description="time for pending requests once the gateway is told to stop"
    )
    keep_alive_s: int = Field(
        default=300, ge=1, description="time that an idle connection stays open; more than a proxy in front allows"
    )
    api_keys_file: OptionalPath = Field(
        default=None, description="file of accepted bearer keys, one per line; without it no key is needed"
    )
    cors_origins: Strings = Field(default=(), description="origins whose pages may call the gateway, comma-separated")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for smaller, larger, why in _ORDERED:
            if getattr(self, smaller) > getattr(self, larger):
                raise ValueError(
                    f"{flag(smaller)} is {getattr(self, smaller)} but {flag(larger)} only {getattr(self, larger)}: "
                    f"{why}. Raise {flag(larger)} or lower {flag(smaller)}."
                )
        return self


_ORDERED = (
    ("max_passages", "max_pending_pairs", "the largest request would never be admitted"),
    ("max_documents", "max_pending_pairs", "the largest request would never be admitted"),
    ("max_body_bytes", "max_pending_body_bytes", "the largest request would never be admitted"),
    ("timeout_s", "max_timeout_s", "a header could not ask for the default deadline"),
)
# pydantic's type of a problem -> the remedy, filled in from its context
_REMEDIES = {
    "int_parsing": "give a whole number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "bool_parsing": "give true or false",
    "greater_than_equal": "give at least {ge:g}",
    "less_than_equal": "give at most {le:g}",
    "too_short": "name at least one",
}


def flag(name: str) -> str:
    """Return the field's flag on the command line."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """Return the field's environment variable."""
    return VARIABLE_PREFIX + name.upper()


def settings_from(arguments: Sequence[str]) -> Settings:
    """Read flags and environment variables.

    `--help` and unknown flags end the process, as usual with argparse.

    Raises SettingsError for a value that cannot work, and for values that contradict each other.
    """
    parser = argparse.ArgumentParser(
        prog="python -m packrank_gateway", description="HTTP gateway to a reranking Triton server.", allow_abbrev=False
    )
    for name, field in Settings.model_fields.items():
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if field.annotation is bool else {}
        described = f"{field.description} (default {_shown(field)}; {variable(name)})"
        parser.add_argument(flag(name), metavar="VALUE", help=described.replace("%", "%%"), **switch)
    given = {name: text for name, text in vars(parser.parse_args(arguments)).items() if text is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors()[0], given)) from None


def _sentence(problem: Mapping[str, Any], given: Mapping[str, str]) -> str:
    """Name the flag or the variable at fault, its value and the remedy."""
    if not problem["loc"]:  # several fields contradict each other
        return str(problem["ctx"]["error"])
    name, value = problem["loc"][0], problem["input"]
    source = flag(name) if name in given else variable(name)
    remedy = _REMEDIES.get(problem["type"])
    if remedy is None:
        return f"{source} is {value!r}: {problem['msg']}."
    limit = problem.get("ctx", {})
    shown = (value if limit else repr(value)) if value else "empty"
    return f"{source} is {shown}; {remedy.format_map(limit)}."


def _shown(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "none" if value is None else str(value).lower()
