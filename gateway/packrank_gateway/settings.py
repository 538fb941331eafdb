"""Every setting of the gateway: one frozen object, and for each field a flag, a variable and a documented default."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

VARIABLE_PREFIX = "PACKRANK_"
MIB = 1 << 20


class SettingsError(Exception):
    """Settings that cannot work; the message says which and what to change."""


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Settings:
    """`max_pairs` is `--max-pairs` on the command line and PACKRANK_MAX_PAIRS in the environment; the flag wins.

    Raises SettingsError when fields contradict each other.
    """

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for every interface")
    port: int = _setting(8080, "port to listen on; 0 for any that is free")
    triton: tuple[str, ...] = _setting(("localhost:8001",), "gRPC addresses of one or several servers, comma-separated")
    model_names: tuple[str, ...] = _setting(
        ("nvidia/llama-3.2-nv-rerankqa-1b-v2", "nvidia/llama-nemotron-rerank-1b-v2"),
        "names that requests may give the model, comma-separated; answers and lists show the first",
    )
    strict_model_names: bool = _setting(
        False, "refuse other model names on every path, not only on NIM's (elsewhere they bring a warning)"
    )
    model_directory: Path | None = _setting(
        None, "version directory of a built model, tokenizer/1, whose facts /info and the page show"
    )
    max_passages: int = _setting(512, "passages of one request, NIM and TEI")
    max_documents: int = _setting(1000, "documents of one request, Cohere, Jina, vLLM and infinity")
    max_body_bytes: int = _setting(32 * MIB, "size of one request")
    max_pending_pairs: int = _setting(20_000, "pairs of all requests under way; beyond it a request is refused at once")
    max_pending_tokens: int = _setting(2_000_000, "estimated tokens of all requests under way, likewise")
    max_pending_body_bytes: int = _setting(256 * MIB, "bytes of all request bodies in memory, likewise")
    timeout_s: float = _setting(30.0, "deadline of a request that names none in its header x-request-timeout-s")
    max_timeout_s: float = _setting(300.0, "the longest deadline that a header may name")
    drain_timeout_s: int = _setting(60, "how long requests under way may take once the gateway is told to stop")
    api_keys_file: Path | None = _setting(
        None, "file of accepted bearer keys, one a line; without it none is asked for"
    )
    cors_origins: tuple[str, ...] = _setting((), "origins whose pages may call the gateway, comma-separated")

    def __post_init__(self) -> None:
        for name in ("triton", "model_names"):
            if not getattr(self, name):
                raise SettingsError(f"{flag(name)} is empty; name at least one.")
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and value < 1 and setting.name not in {"port", *_SWITCHES}:
                raise SettingsError(f"{flag(setting.name)} is {value}; give at least 1.")
        for smaller, larger, why in _ORDERED:
            if getattr(self, smaller) > getattr(self, larger):
                raise SettingsError(
                    f"{flag(smaller)} is {getattr(self, smaller)} but {flag(larger)} only {getattr(self, larger)}: "
                    f"{why}. Raise {flag(larger)} or lower {flag(smaller)}."
                )


_SWITCHES = frozenset({"strict_model_names"})
_ORDERED = (
    ("max_passages", "max_pending_pairs", "the largest request would never be admitted"),
    ("max_documents", "max_pending_pairs", "the largest request would never be admitted"),
    ("max_body_bytes", "max_pending_body_bytes", "the largest request would never be admitted"),
    ("timeout_s", "max_timeout_s", "the default deadline would be refused in a header"),
)


def flag(name: str) -> str:
    """The field's flag on the command line."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The field's environment variable."""
    return VARIABLE_PREFIX + name.upper()


def settings_from(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Read flags and variables. Raises SettingsError; `--help` and unknown flags end the process as argparse does."""
    types = get_type_hints(Settings)
    parser = argparse.ArgumentParser(
        prog="python -m packrank_gateway", description="HTTP in front of a reranking Triton server.", allow_abbrev=False
    )
    for setting in fields(Settings):
        switch = {"nargs": "?", "const": "true", "metavar": "BOOL"} if setting.name in _SWITCHES else {}
        described = f"{setting.metadata['description']} (default {_shown(setting)}; {variable(setting.name)})"
        parser.add_argument(flag(setting.name), help=described.replace("%", "%%"), **switch)  # type: ignore[arg-type]
    given = vars(parser.parse_args(arguments))
    values = {}
    for setting in fields(Settings):
        text = given[setting.name]
        source = flag(setting.name) if text is not None else variable(setting.name)
        text = environment.get(source) if text is None else text
        if text is not None:
            values[setting.name] = _parsed(text, types[setting.name], source)
    return Settings(**values)


def _parsed(text: str, kind: Any, source: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind == Path | None:
            return Path(text) if text else None
        return kind(text)
    except (ValueError, KeyError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "another value")
        raise SettingsError(f"{source} is {text!r}; give {wanted}.") from None


def _shown(setting: Field[Any]) -> str:
    value = setting.default
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "none" if value is None else str(value).lower()
