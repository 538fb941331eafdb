"""`make bench-scaling`: cost per token over passages of a request and tokens of a pair, and what padding would waste.

Cost is processor time, which other work on the machine does not add to.

- passages: one question of 1 to 500 passages through the ensemble over gRPC, split by the client where it is too large;
- tokens: pairs of 16 to 8192 tokens, in process on the same weights, written once more for that length;
- waste: arithmetic on the three length mixes.

Leaves benchmarks/results/scaling.md, scaling_{passages,tokens,waste}.csv and .svg.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.cpu_time import server_cpu_seconds
from benchmarks.length_mixes import MIXES, question_of_lengths
from benchmarks.local_ensemble import (
    REPOSITORY,
    ROOT,
    model_and_machine,
    packed,
    published_tokenizer,
    ranker_parameters,
    served,
)
from benchmarks.plots import bar_plot, line_plot
from benchmarks.report import RESULTS, Row, markdown_table, write_csv, write_markdown
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import PackedPairs
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.hub import checkpoint_directory
from packrank_build.graph.export import export_graph
from packrank_build.graph.ops import Precision
from packrank_build.progress import Progress
from packrank_client import RerankClient
from packrank_server.tritonserver import ServerStartError, TritonServer

PASSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
PAIR_TOKENS = (32, 128)  # of the sweep over passages
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
TOKENS_A_BATCH = 2048
PADDED_BATCH = 32  # pairs; the default of sentence-transformers' CrossEncoder
WASTE_PAIRS = 1000


def passages_rows(
    server: TritonServer, tokenizer: Tokenizer, passages: Sequence[int], seconds: float, progress: Progress
) -> list[Row]:
    """Time of one question for each number of passages, and the server's processor time for each token."""

    def server_s() -> float:
        return server_cpu_seconds(server.process.pid)

    rows: list[Row] = []
    with RerankClient(server.grpc_endpoint, timeout_s=600) as client:
        for length in PAIR_TOKENS:
            for count in passages:
                question = question_of_lengths(tokenizer, [length] * count)
                progress.step(f"{count} passages of {length} tokens")
                ask = partial(client.rerank, question.query, question.passages)
                took = time_of(ask, seconds, server_s)
                tokens = packed(tokenizer, [question], length + 8)[0].input_ids.size
                rows.append(
                    {
                        "tokens/pair": length,
                        "passages": count,
                        "ms": round(1e3 * took.wall_s, 1),
                        "us/token": round(1e6 * took.wall_s / tokens, 1),
                        "CPU us/token": round(1e6 * took.cpu_s / tokens, 1),
                    }
                )
    return rows


def tokens_rows(ranker: CpuRanker, lengths: Sequence[int], seconds: float, progress: Progress) -> list[Row]:
    """Processor time of a token by the length of its pair, and the part that grows with the length: attention."""
    random = np.random.default_rng(0)
    costs = []
    for length in lengths:
        pairs = max(1, TOKENS_A_BATCH // length)
        progress.step(f"{pairs} pairs of {length} tokens")
        ids = random.integers(5, int(ranker.record.architecture["vocab_size"]), pairs * length).astype(np.int32)
        batch = [PackedPairs(ids, np.full(pairs, length, np.int32))]
        took = time_of(partial(ranker.logits, batch), seconds, time.process_time)
        costs.append(1e6 * took.cpu_s / (pairs * length))
    flat, slope = flat_and_linear_part(lengths, costs)
    return [
        {
            "tokens/pair": length,
            "CPU us/token": round(cost, 1),
            "attention, fitted": round(slope * length, 1),
            "without it": round(cost - slope * length, 1),
            "against the fit": round((cost - slope * length) / flat, 2),
        }
        for length, cost in zip(lengths, costs, strict=True)
    ]


def flat_and_linear_part(lengths: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """The a and b of cost = a + b x length with the least squares of relative errors.

    Attention's products take length x width operations for each token, everything else the same for every token.
    """
    weights = 1 / np.array(costs)
    columns = np.stack([np.ones(len(lengths)), np.array(lengths, float)], axis=1)
    solution = np.linalg.lstsq(columns * weights[:, None], np.ones(len(lengths)), rcond=None)[0]
    return float(solution[0]), float(solution[1])


def waste_rows(parameters: dict[str, int], heads: int) -> list[Row]:
    """Tokens computed for each token needed.

    Padded: batches of PADDED_BATCH pairs in order of arrival, or sorted by length, each as long as its longest. Packed:
    none outside attention; within it, the padded tokens (pairs x longest) of the ranker's own runs.
    """
    rows: list[Row] = []
    for name, mix in MIXES.items():
        lengths = mix(WASTE_PAIRS, 0)
        weights = parameters["max_attention_bytes"] // (4 * heads)
        in_attention = sum(
            len(run) * int(lengths[run].max())
            for start in range(0, len(lengths), 100)  # as if in requests of 100 passages
            for run in (
                part + start
                for part in length_sorted_runs(lengths[start:][:100], parameters["max_run_tokens"], weights)
            )
        )
        needed = int(lengths.sum())
        rows.append(
            {
                "mix": name,
                "padded": round(padded_tokens(lengths) / needed, 2),
                "padded, sorted": round(padded_tokens(np.sort(lengths)) / needed, 2),
                "packed": 1.0,
                "packed, within attention": round(in_attention / needed, 2),
            }
        )
    return rows


def padded_tokens(lengths: NDArray[np.int32]) -> int:
    """Tokens that batches of PADDED_BATCH compute, padding included."""
    batches = [lengths[start : start + PADDED_BATCH] for start in range(0, len(lengths), PADDED_BATCH)]
    return sum(len(batch) * int(batch.max()) for batch in batches)


@dataclass(frozen=True)
class Took:
    """Means of one run: seconds on the clock, and of processor time."""

    wall_s: float
    cpu_s: float


def time_of(work: Callable[[], object], seconds: float, cpu_clock: Callable[[], float]) -> Took:
    """Of one run, if it takes so many seconds; else of as many as fit, after the one that warmed up."""

    def timed(runs: int) -> Took:
        cpu_s, began_s = cpu_clock(), time.perf_counter()
        for _ in range(runs):
            work()
        return Took((time.perf_counter() - began_s) / runs, (cpu_clock() - cpu_s) / runs)

    first = timed(1)
    return first if first.wall_s >= seconds else timed(round(seconds / first.wall_s))


def spread(rows: Sequence[Row]) -> str:
    """How flat the processor time per token is over passages, for each length of pairs."""
    lines = []
    for length in dict.fromkeys(row["tokens/pair"] for row in rows):
        costs = [float(row["CPU us/token"]) for row in rows if row["tokens/pair"] == length]
        middle = statistics.median(costs)
        low, high = 100 * (min(costs) / middle - 1), 100 * (max(costs) / middle - 1)
        lines.append(f"- {length} tokens a pair: {low:+.0f} % to {high:+.0f} % of the median processor time per token")
    return "\n".join(lines)


def long_ranker(repository: Path, parameters: dict[str, int], work: Path, progress: Progress) -> CpuRanker:
    """The published model's weights in a graph for pairs of 8192 tokens. No gate: only its speed is looked at."""
    record = read_build_record(repository / "ranker" / "1")
    directory, _ = checkpoint_directory(record.source, None)
    precision = cast(Precision, record.precision)
    export_graph(Checkpoint(directory), precision, max(TOKENS), work / "model.onnx", progress)
    names = ("threads", "max_run_tokens", "max_attention_bytes")
    return CpuRanker(
        work / "model.onnx",
        replace(record, max_pair_tokens=max(TOKENS)),
        **{name: parameters[name] for name in names},
    )


def main() -> int:
    """Command line of `make bench-scaling`."""
    parser = argparse.ArgumentParser(prog="make bench-scaling", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--passages", type=int, nargs="+", default=PASSAGES)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each point, at least one run")
    options = parser.parse_args()
    progress = Progress()
    try:
        with served(options.repository, "scaling") as server:
            parameters = ranker_parameters(server.grpc_endpoint)
            by_passages = passages_rows(
                server,
                published_tokenizer(options.repository),
                options.passages,
                options.seconds,
                progress,
            )
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-scaling: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work:
        ranker = long_ranker(options.repository, parameters, Path(work), progress)
        by_tokens = tokens_rows(ranker, options.tokens, options.seconds, progress)
    waste = waste_rows(parameters, int(ranker.record.architecture["heads"]))
    for name, rows in (("passages", by_passages), ("tokens", by_tokens), ("waste", waste)):
        write_csv(f"scaling_{name}", rows)
    plot(by_passages, by_tokens, waste)
    write_markdown(
        "scaling",
        "\n\n".join(
            [
                f"Scaling. {model_and_machine(options.repository)}",
                "One question of so many passages, over gRPC:",
                markdown_table(by_passages),
                spread(by_passages),
                "Pairs of so many tokens, in process:",
                markdown_table(by_tokens),
                f"Tokens computed for each token needed, {WASTE_PAIRS} pairs, padded in batches of {PADDED_BATCH}:",
                markdown_table(waste),
            ]
        ),
    )
    return 0


def plot(by_passages: Sequence[Row], by_tokens: Sequence[Row], waste: Sequence[Row]) -> None:
    """Draw the three tables."""
    series = {
        f"{length} tokens a pair": [
            (float(row["passages"]), float(row["CPU us/token"])) for row in by_passages if row["tokens/pair"] == length
        ]
        for length in PAIR_TOKENS
    }
    line_plot(
        RESULTS / "scaling_passages.svg",
        series,
        title="Processor time per token against passages of one question, over gRPC",
        x="passages",
        y="µs of processor time per token",
        log_x=True,
    )
    measured = [(float(row["tokens/pair"]), float(row["CPU us/token"])) for row in by_tokens]
    without = [(float(row["tokens/pair"]), float(row["without it"])) for row in by_tokens]
    line_plot(
        RESULTS / "scaling_tokens.svg",
        {"whole": measured, "without attention's part that grows with length": without},
        title="Processor time per token against tokens of a pair, in process",
        x="tokens of a pair",
        y="µs of processor time per token",
        log_x=True,
    )
    bar_plot(
        RESULTS / "scaling_waste.svg",
        {str(row["mix"]): {name: float(value) for name, value in row.items() if name != "mix"} for row in waste},
        title="Tokens computed for each token needed",
        y="tokens computed / needed",
    )


if __name__ == "__main__":
    sys.exit(main())
