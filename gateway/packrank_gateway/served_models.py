"""Which model names a request may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packrank_gateway.errors import Dialect, GatewayError


@dataclass(frozen=True)
class ModelChoice:
    """The name to answer with, and what the caller should know about it."""

    name: str
    warning: str | None = None


class ServedModels:
    """The names of the one model; `strict` refuses others in every dialect, and NIM's always does.

    Elsewhere another vendor's name is answered with a warning: whoever only changes a URL sends the name of a model
    that cannot be here.
    """

    def __init__(self, names: Sequence[str], *, strict: bool) -> None:
        self.names = tuple(names)
        self._strict = strict
        self._known = {_normalised(name): name for name in names}

    def choose(self, requested: str | None, dialect: Dialect) -> ModelChoice:
        """Raises GatewayError(unknown_model)."""
        if not requested:
            return ModelChoice(self.names[0])
        known = self._known.get(_normalised(requested))
        if known:
            return ModelChoice(known)
        served = ", ".join(self.names)
        if self._strict or dialect is Dialect.NIM:
            sentence = f"model {requested[:200]!r} is not served here; send one of {served}."
            raise GatewayError("unknown_model", sentence)
        return ModelChoice(self.names[0], f"model {requested[:200]!r} is not served here: {self.names[0]} answered.")


def _normalised(name: str) -> str:
    """NVIDIA writes the name with and without its prefix, and as llama-3_2 in URLs."""
    return name.lower().replace("_", ".").removeprefix("nvidia/")
