"""Facts about the served model, from the record of its build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_gateway.settings import SettingsError


@dataclass(frozen=True)
class ModelFacts:
    """Each fact is None if unknown. A `notice` that is not empty must be shown to readers of the scores."""

    source: str | None = None
    revision: str | None = None
    precision: str | None = None
    max_pair_tokens: int | None = None
    notice: str = ""


def model_facts(directory: Path | None) -> ModelFacts:
    """Read the record in a version directory; without one, nothing is known. Raises SettingsError."""
    if directory is None:
        return ModelFacts()
    try:
        record = read_build_record(directory)
    except StaleBuild as error:
        raise SettingsError(f"--model-directory: {error}") from None
    return ModelFacts(record.source, record.revision, record.precision, record.max_pair_tokens, record.notice)
