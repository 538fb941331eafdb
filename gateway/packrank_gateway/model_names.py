"""Which model names a request may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import GatewayError


@dataclass(frozen=True)
class ModelChoice:
    """The name to answer with, and a warning for the caller."""

    name: str
    warning: str | None = None


class ModelNames:
    """The names of the one model. NIM's dialect refuses other names; with `strict` every dialect does.

    Otherwise another vendor's name gets an answer and a warning: a client that only changes its URL still sends the
    name of that vendor's model.
    """

    def __init__(self, names: Sequence[str], *, strict: bool) -> None:
        self.names = tuple(names)
        self._strict = strict
        self._known = {_normalised(name): name for name in names}

    def choose(self, requested: str | None, dialect: Dialect) -> ModelChoice:
        """Choose the name to answer with. Raises GatewayError(unknown_model)."""
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
    """Ignore NVIDIA's optional prefix, and treat llama-3_2, as URLs have it, like llama-3.2."""
    return name.lower().replace("_", ".").removeprefix("nvidia/")
