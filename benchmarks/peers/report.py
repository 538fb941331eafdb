"""The rounds as Markdown, CSV and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.peers.contestants import CONTESTANTS, Contestant, Settings
from benchmarks.peers.goals import GOALS_MIX, fastest_of, measured_goals
from benchmarks.peers.mixes import MIXES
from benchmarks.peers.records import Round, median_ratio, median_tokens_per_s
from benchmarks.report import RESULTS, Row, markdown_table, write_csv, write_markdown


def write_report(rounds: Mapping[str, Sequence[Round]]) -> None:
    """Leave benchmarks/results/peers.md, peers.csv and peers.svg from the rounds of each mix."""
    from benchmarks.plots import bar_plot  # noqa: PLC0415 - matplotlib is for this alone

    write_csv("peers", csv_rows(rounds))
    bar_plot(
        RESULTS / "peers.svg",
        {
            MIXES[mix].lengths: {
                f"{c.label} {c.precision}, {c.reached}": median_tokens_per_s(of_mix, c.name) for c in _present(of_mix)
            }
            for mix, of_mix in rounds.items()
        },
        title="Throughput by length mix",
        y="tokens/s",
    )
    write_markdown("peers", markdown(rounds))


def csv_rows(rounds: Mapping[str, Sequence[Round]]) -> list[Row]:
    """One row for each contestant of each round."""
    return [
        {
            "mix": mix,
            "round": number,
            "contestant": c.name,
            "precision": c.precision,
            "by": c.reached,
            "settings": settings_text(measured.settings[c.name]),
            "tokens": measured.tokens,
            "pairs": measured.pairs,
            "seconds": round(measured.seconds[c.name], 4),
            "tokens/s": round(measured.tokens_per_s(c.name), 1),
            "% of GEMM peak": round(100 * measured.share_of_peak(c.name, c.precision), 1),
            "correlation": round(measured.correlation[c.name], 5),
            "machine": measured.machine,
        }
        for mix, of_mix in rounds.items()
        for number, measured in enumerate(of_mix, start=1)
        for c in _present([measured])
    ]


def markdown(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Goals first, then a table for each mix."""
    machines = sorted({r.machine for of_mix in rounds.values() for r in of_mix})
    parts = [f"Machine: {'; '.join(machines)}."]
    if GOALS_MIX in rounds:
        goals: list[Row] = [
            {
                f"{MIXES[GOALS_MIX].lengths} tokens": goal.sentence,
                "goal": f"≥ {goal.least:g}{goal.unit}",
                "measured": "" if goal.value is None else f"{goal.value:.3g}{goal.unit}",
                "": goal.verdict,
            }
            for goal in measured_goals(rounds[GOALS_MIX])
        ]
        parts.append(markdown_table(goals))
    for mix, of_mix in rounds.items():
        peaks = ", ".join(
            f"{precision} {statistics.median(r.peaks_gops[precision] for r in of_mix):.0f}"
            for precision in sorted({c.precision for c in _present(of_mix)})
        )
        parts += [
            f"{MIXES[mix].lengths} tokens: {of_mix[0].pairs} pairs, {of_mix[0].tokens} tokens, {len(of_mix)} rounds; "
            f"GEMM peak in GOP/s: {peaks}.",
            markdown_table(mix_rows(of_mix)),
        ]
    return "\n\n".join(parts)


def mix_rows(rounds: Sequence[Round]) -> list[Row]:
    """One row for each contestant of one mix, fastest first; figures are medians of the rounds."""
    contestants = sorted(_present(rounds), key=lambda c: -median_tokens_per_s(rounds, c.name))
    peers = [c for c in contestants if c.is_peer]
    rows: list[Row] = []
    for c in contestants:
        rates = [r.tokens_per_s(c.name) for r in rounds]
        row: dict[str, float | str] = {
            "": c.label,
            "precision": c.precision,
            "by": c.reached,
            "settings": settings_text(rounds[-1].settings[c.name]),
            "tokens/s": f"{statistics.median(rates):.0f}",
            "lowest to highest": f"{min(rates):.0f} to {max(rates):.0f}",
            "pairs/s": f"{statistics.median(rates) * rounds[0].pairs / rounds[0].tokens:.1f}",
        }
        if peers:
            fastest = fastest_of(rounds, peers)
            row[f"× {fastest.label} {fastest.precision}"] = f"{median_ratio(rounds, c.name, fastest.name):.2f}"
        row["% of GEMM peak"] = f"{100 * statistics.median(r.share_of_peak(c.name, c.precision) for r in rounds):.0f}"
        row["correlation"] = f"{min(r.correlation[c.name] for r in rounds):.4f}"
        rows.append(row)
    return rows


def settings_text(settings: Settings) -> str:
    """Settings in words."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()) or "as shipped"


def _present(rounds: Sequence[Round]) -> list[Contestant]:
    """Who took part in every round."""
    return [c for name, c in CONTESTANTS.items() if all(name in r.seconds for r in rounds)]
