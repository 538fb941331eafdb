"""`make bench-scaling`: processor time per token by pair length, and what padding would waste.

- tokens: pairs of 16 to 8,192 tokens in process. Processor time hardly depends on the machine's other work;
- padding: arithmetic on the three length mixes.

Writes benchmarks/results/scaling.md and scaling_{tokens,padding}.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_ranker import bare_ranker
from benchmarks.errors import exit_code
from benchmarks.processes import REPOSITORY, ROOT
from benchmarks.results import Row, markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.settings import cpu_config, settings_of
from benchmarks.workload import MIXES
from packrank_backend.build_record import read_build_record
from packrank_backend.packing import PackedPairs
from packrank_backend.ranker.cpu_ranker import CpuRanker
from packrank_backend.ranker.microbatches import length_sorted_runs
from packrank_build.graph.ops import Precision
from packrank_build.make_model import make_model
from packrank_build.progress import Progress
from packrank_build.tensorrt.profile_choice import first_batch
from packrank_build.tensorrt.targets import MAX_REQUESTS, TARGETS, Target

TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
TOKENS_PER_BATCH = 2048
PADDED_BATCH = 32  # pairs; the default of sentence-transformers' CrossEncoder
REQUEST_PAIRS = 100  # pairs that the ranker sees together when it sorts by length
MIX_PAIRS = 1000
ENGINE_PAIRS, ENGINE_REQUEST_PAIRS = 20_000, 16


def tokens_rows(ranker: CpuRanker, lengths: Sequence[int], seconds: float, progress: Progress) -> list[Row]:
    """Return processor time per token by pair length."""
    random = np.random.default_rng(0)
    rows: list[Row] = []
    for length in lengths:
        pairs = max(1, TOKENS_PER_BATCH // length)
        progress.step(f"{pairs} pairs of {length} tokens")
        ids = random.integers(5, int(ranker.record.architecture["vocab_size"]), pairs * length).astype(np.int32)
        batch = [PackedPairs(ids, np.full(pairs, length, np.int32))]
        cpu_s = cpu_seconds_per_run(partial(ranker.logits, batch), seconds, time.process_time)
        rows.append({"tokens/pair": length, "CPU us/token": round(1e6 * cpu_s / (pairs * length), 1)})
    return rows


def padding_rows(parameters: dict[str, int], heads: int) -> list[Row]:
    """Return the computed tokens per needed token of each mix.

    Padded: batches of PADDED_BATCH pairs, in order of arrival or sorted by length. Packed: exactly 1, except inside
    attention, which works on rows as long as the longest pair of a run.
    """
    rows: list[Row] = []
    max_weights = parameters["max_attention_bytes"] // (4 * heads)
    for name, mix in MIXES.items():
        lengths = mix(MIX_PAIRS, 0)
        attended = 0
        for start in range(0, len(lengths), REQUEST_PAIRS):
            request = lengths[start : start + REQUEST_PAIRS]
            for run in length_sorted_runs(request, parameters["max_run_tokens"], max_weights):
                attended += len(run) * int(request[run].max())
        needed = int(lengths.sum())
        rows.append(
            {
                "mix": name,
                "padded": round(padded_tokens(lengths) / needed, 2),
                "padded, sorted": round(padded_tokens(np.sort(lengths)) / needed, 2),
                "packed": 1.0,
                "packed, inside attention": round(attended / needed, 2),
            }
        )
    return rows


def engine_padding_rows(target: Target) -> list[Row]:
    """Return the padded tokens per real token inside attention of an engine, by mix.

    Merged: requests of ENGINE_REQUEST_PAIRS pairs in order of arrival, up to the target's budgets. Alone: one request
    per run, the least that forming other batches could reach.
    """
    rows: list[Row] = []
    for name, mix in MIXES.items():
        lengths = mix(ENGINE_PAIRS, 0)
        requests = np.split(lengths, range(ENGINE_REQUEST_PAIRS, len(lengths), ENGINE_REQUEST_PAIRS))
        sizes = [(int(request.sum()), len(request), int(request.max())) for request in requests]
        alone = sum(pairs * longest for _, pairs, longest in sizes)
        merged = start = 0
        while start < len(sizes):
            batch = sizes[start : start + first_batch(sizes[start : start + MAX_REQUESTS], target.batch, MAX_REQUESTS)]
            merged += sum(pairs for _, pairs, _ in batch) * max(longest for *_, longest in batch)
            start += len(batch)
        needed = int(lengths.sum())
        rows.append({"mix": name, "merged": round(merged / needed, 2), "alone": round(alone / needed, 2)})
    return rows


def padded_tokens(lengths: NDArray[np.int32]) -> int:
    """Count the tokens that batches of PADDED_BATCH compute, padding included."""
    batches = [lengths[start : start + PADDED_BATCH] for start in range(0, len(lengths), PADDED_BATCH)]
    return sum(len(batch) * int(batch.max()) for batch in batches)


def cpu_seconds_per_run(work: Callable[[], object], seconds: float, cpu_clock: Callable[[], float]) -> float:
    """Return mean processor time per run.

    One run if it takes at least `seconds`, otherwise as many as fit after a warm-up.
    """

    def timed(runs: int) -> tuple[float, float]:
        cpu_s, began_s = cpu_clock(), time.perf_counter()
        for _ in range(runs):
            work()
        return (cpu_clock() - cpu_s) / runs, (time.perf_counter() - began_s) / runs

    cpu_s, wall_s = timed(1)
    return cpu_s if wall_s >= seconds else timed(round(seconds / wall_s))[0]


def ranker_for(
    max_pair_tokens: int, repository: Path, parameters: dict[str, int], work: Path, progress: Progress
) -> CpuRanker:
    """Build the published model for pairs of that length. Raises UnsupportedCheckpoint or ParityError."""
    record = read_build_record(repository / "ranker" / "1")
    precision = cast(Precision, record.precision)
    make_model(record.source, work, precision=precision, max_pair_tokens=max_pair_tokens, progress=progress)
    return bare_ranker(work, parameters)


def main() -> int:
    """Run the command line of `make bench-scaling`."""
    parser = argparse.ArgumentParser(prog="make bench-scaling", description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each point, at least one run")
    options = parser.parse_args()
    return exit_code("make bench-scaling", lambda: run(options.tokens, options.seconds))


def run(lengths: Sequence[int], seconds: float) -> None:
    """Measure the published model and write the report."""
    progress = Progress()
    parameters = settings_of(cpu_config(REPOSITORY))
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work:
        ranker = ranker_for(max(lengths), REPOSITORY, parameters, Path(work), progress)
        by_tokens = tokens_rows(ranker, lengths, seconds, progress)
    padding = padding_rows(parameters, int(ranker.record.architecture["heads"]))
    write_csv("scaling_tokens", by_tokens)
    write_csv("scaling_padding", padding)
    write_markdown(
        "scaling",
        model_and_machine(REPOSITORY),
        "Processor time per token by pair length:",
        markdown_table(by_tokens),
        f"Computed tokens per needed token, {MIX_PAIRS} pairs, padded in batches of {PADDED_BATCH}:",
        markdown_table(padding),
        f"Padded tokens per real token inside an engine's attention, {ENGINE_REQUEST_PAIRS} pairs per request, l40s:",
        markdown_table(engine_padding_rows(TARGETS["l40s"])),
    )


if __name__ == "__main__":
    sys.exit(main())
