"""What packrank set out to reach against its peers on a CPU, and whether the rounds show it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.contestants import CONTESTANTS, Contestant
from benchmarks.peers.records import Round, median_ratio, median_tokens_per_s

# packrank over gRPC, a peer in process or over its own HTTP
GOALS_MIX = "log-normal"
FP32_OVER_CROSS_ENCODER = {"cross-encoder-fp32": 1.4, "cross-encoder-fp32-default": 2.0}
BEST_OVER_FASTEST_PEER = 1.5
SHARE_OF_PEAK = 0.75


@dataclass(frozen=True)
class Goal:
    """One goal: `value` is what was measured, to be at least `least`; None: the machine could not show it."""

    sentence: str
    least: float
    value: float | None
    unit: str

    @property
    def verdict(self) -> str:
        """In a word, by the unrounded figure."""
        if self.value is None:
            return "not measured"
        return "reached" if self.value >= self.least else "missed"


def measured_goals(rounds: Sequence[Round]) -> list[Goal]:
    """Every goal; those whose contestants did not take part in every round have no value."""
    present = {name for name in CONTESTANTS if all(name in r.seconds for r in rounds)}
    goals = []
    for peer, least in FP32_OVER_CROSS_ENCODER.items():
        measured = {"packrank-fp32", peer} <= present
        value = median_ratio(rounds, "packrank-fp32", peer) if measured else None
        goals.append(Goal(f"fp32 against {CONTESTANTS[peer].label} fp32", least, value, "×"))
    ours = [CONTESTANTS[name] for name in ("packrank-fp32", "packrank-int8") if name in present]
    peers = [CONTESTANTS[name] for name in present if CONTESTANTS[name].is_peer]
    if ours and peers:
        best, fastest = fastest_of(rounds, ours), fastest_of(rounds, peers)
        sentence = f"{best.precision}, the best here, against the fastest peer, {fastest.label} {fastest.precision}"
        goals.append(Goal(sentence, BEST_OVER_FASTEST_PEER, median_ratio(rounds, best.name, fastest.name), "×"))
    for c in CONTESTANTS.values():
        if c.is_packrank:
            share = None
            if c.name in present:
                share = 100 * statistics.median(r.share_of_peak(c.name, c.precision) for r in rounds)
            goals.append(Goal(f"{c.precision} {c.reached}, of the GEMM peak", 100 * SHARE_OF_PEAK, share, " %"))
    return goals


def fastest_of(rounds: Sequence[Round], contestants: Sequence[Contestant]) -> Contestant:
    """The one with the highest median throughput."""
    return max(contestants, key=lambda c: median_tokens_per_s(rounds, c.name))
