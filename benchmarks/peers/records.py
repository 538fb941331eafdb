"""What was tried and measured on one mix, kept under .cache/peers so that an interruption loses little."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.contestants import Settings


@dataclass(frozen=True)
class Trial:
    """One contestant's pass over the mix with one candidate's settings."""

    contestant: str
    settings: Settings
    tokens_per_s: float


@dataclass(frozen=True)
class Round:
    """One pass of every contestant over the same pairs, with the GEMM peaks of the same minutes.

    `peaks_gops` is 10^9 operations a second by precision; `settings`, `seconds` and `correlation` (of the logits with
    those of the padded Hugging Face model) are by contestant.
    """

    machine: str
    tokens: int
    pairs: int
    operations_per_token: int
    peaks_gops: dict[str, float]
    settings: dict[str, Settings]
    seconds: dict[str, float]
    correlation: dict[str, float]

    def tokens_per_s(self, contestant: str) -> float:
        """Throughput of a contestant."""
        return self.tokens / self.seconds[contestant]

    def share_of_peak(self, contestant: str, precision: str) -> float:
        """Matrix products with the weights, as a share of what the precision's unit was seen to reach: 1 is all."""
        return self.operations_per_token * self.tokens_per_s(contestant) / 1e9 / self.peaks_gops[precision]


class MixRecords:
    """The records of one mix: trials.jsonl and rounds.jsonl in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._trials = directory / "trials.jsonl"
        self._rounds = directory / "rounds.jsonl"

    def trials(self) -> list[Trial]:
        """Every trial so far."""
        return [Trial(**record) for record in _read(self._trials)]

    def add_trial(self, trial: Trial) -> None:
        """Append a trial."""
        _append(self._trials, asdict(trial))

    def rounds(self) -> list[Round]:
        """Every round so far."""
        return [Round(**record) for record in _read(self._rounds)]

    def add_round(self, measured: Round) -> None:
        """Append a round."""
        _append(self._rounds, asdict(measured))

    def forget_trials(self, contestant: str) -> None:
        """Drop a contestant's trials."""
        kept = [trial for trial in self.trials() if trial.contestant != contestant]
        self._trials.unlink(missing_ok=True)
        for trial in kept:
            self.add_trial(trial)

    def forget_rounds(self) -> None:
        """Drop all rounds."""
        self._rounds.unlink(missing_ok=True)


def best_settings(trials: Sequence[Trial], contestant: str) -> Settings | None:
    """The settings of a contestant's fastest trial; None when it has none."""
    own = [trial for trial in trials if trial.contestant == contestant]
    return max(own, key=lambda trial: trial.tokens_per_s).settings if own else None


def median_ratio(rounds: Sequence[Round], contestant: str, peer: str) -> float:
    """How many times the peer's throughput the contestant has: the median of each round's own ratio."""
    return statistics.median(r.seconds[peer] / r.seconds[contestant] for r in rounds)


def median_tokens_per_s(rounds: Sequence[Round], contestant: str) -> float:
    """The median of the rounds."""
    return statistics.median(r.tokens_per_s(contestant) for r in rounds)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _append(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        print(json.dumps(record), file=file)
