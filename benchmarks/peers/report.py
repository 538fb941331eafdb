"""Turn the rounds of one mix into a Markdown table and a CSV file."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.contestants import CONTESTANTS, Contestant, Settings
from benchmarks.peers.mixes import Mix
from benchmarks.results import Row, machine, markdown_table, write_csv, write_markdown


@dataclass(frozen=True)
class Round:
    """One pass of every contestant over the same pairs.

    `peaks_gops` is the GEMM peak in 10^9 operations per second, by precision. `seconds` and `correlation` (of logits
    with the padded model's) are by contestant.
    """

    tokens: int
    operations_per_token: int
    peaks_gops: dict[str, float]
    seconds: dict[str, float]
    correlation: dict[str, float]

    def tokens_per_s(self, contestant: str) -> float:
        """Return a contestant's throughput."""
        return self.tokens / self.seconds[contestant]

    def share_of_peak(self, contestant: str, precision: str) -> float:
        """Return the rate of products with weights, as a share of the precision's GEMM peak."""
        return self.operations_per_token * self.tokens_per_s(contestant) / 1e9 / self.peaks_gops[precision]


def median_ratio(rounds: Sequence[Round], contestant: str, peer: str) -> float:
    """Return how many times the peer's throughput a contestant has: the median of each round's own ratio."""
    return statistics.median(r.seconds[peer] / r.seconds[contestant] for r in rounds)


def median_tokens_per_s(rounds: Sequence[Round], contestant: str) -> float:
    """Return a contestant's median throughput."""
    return statistics.median(r.tokens_per_s(contestant) for r in rounds)


def mix_rows(rounds: Sequence[Round], settings: dict[str, Settings]) -> list[Row]:
    """Return one row for each contestant that finished every round, fastest first; figures are medians."""
    present = [c for name, c in CONTESTANTS.items() if all(name in r.seconds for r in rounds)]
    contestants = sorted(present, key=lambda c: -median_tokens_per_s(rounds, c.name))
    fastest = next((c for c in contestants if c.is_peer), None)
    return [_row(c, rounds, settings[c.name], fastest) for c in contestants]


def _row(c: Contestant, rounds: Sequence[Round], settings: Settings, fastest: Contestant | None) -> Row:
    rates = [r.tokens_per_s(c.name) for r in rounds]
    row: dict[str, float | str] = {
        "": c.label,
        "precision": c.precision,
        "by": c.reached,
        "settings": ", ".join(f"{name} {value}" for name, value in settings.items()) or "as shipped",
        "tokens/s": f"{statistics.median(rates):.0f}",
        "lowest to highest": f"{min(rates):.0f} to {max(rates):.0f}",
    }
    if fastest:
        row[f"× {fastest.label} {fastest.precision}"] = f"{median_ratio(rounds, c.name, fastest.name):.2f}"
    has_peak = all(c.precision in r.peaks_gops for r in rounds)
    share = statistics.median(r.share_of_peak(c.name, c.precision) for r in rounds) if has_peak else 0.0
    row["% of GEMM peak"] = f"{100 * share:.0f}" if has_peak else ""
    row["correlation"] = f"{min(r.correlation[c.name] for r in rounds):.4f}"
    return row


def write_report(mix: Mix, rounds: Sequence[Round], settings: dict[str, Settings]) -> None:
    """Write benchmarks/results/peers-<mix>.md, and .csv with the seconds of every round."""
    write_csv(
        f"peers-{mix.name}",
        [
            {"round": number, "contestant": name, "seconds": round(seconds, 4), "tokens": measured.tokens}
            for number, measured in enumerate(rounds, start=1)
            for name, seconds in measured.seconds.items()
        ],
    )
    peaks = ", ".join(
        f"{name} {statistics.median(r.peaks_gops[name] for r in rounds):.0f}" for name in rounds[0].peaks_gops
    )
    write_markdown(
        f"peers-{mix.name}",
        f"{mix.lengths} tokens: {mix.pairs} pairs, {rounds[0].tokens} tokens, {len(rounds)} rounds. GEMM peak in "
        f"GOP/s: {peaks}. Machine: {machine()}.",
        markdown_table(mix_rows(rounds, settings)),
    )
