"""`make bench-scaling`: processor time per token by passages and by pair length, and what padding would waste.

Processor time hardly depends on other work that the machine does.

- passages: one question of 1 to 500 passages through the ensemble over gRPC; the client splits large ones;
- tokens: pairs of 16 to 8,192 tokens in process, on the same weights built for that length;
- padding: arithmetic on the three length mixes.

Writes benchmarks/results/scaling.md and scaling_{passages,tokens,padding}.csv.
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
from tokenizers import Tokenizer

from benchmarks.bare_ranker import bare_ranker, published_tokenizer, ranker_parameters
from benchmarks.processes import REPOSITORY, ROOT, running_server, server_cpu_seconds
from benchmarks.results import Row, markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.workload import MIXES, question_of_lengths, token_count
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import PackedPairs
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.graph.packed_graph import Precision
from packrank_build.graph.parity import ParityError
from packrank_build.make_model import make_model
from packrank_build.progress import Progress
from packrank_client import RerankClient
from packrank_server.tritonserver import ServerStartError, TritonServer

PASSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
PAIR_TOKENS = (32, 128)  # of the sweep over passages
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
TOKENS_PER_BATCH = 2048
PADDED_BATCH = 32  # pairs; the default of sentence-transformers' CrossEncoder
REQUEST_PAIRS = 100  # pairs that the ranker sees together when it sorts by length
MIX_PAIRS = 1000


def passages_rows(
    server: TritonServer, tokenizer: Tokenizer, passages: Sequence[int], seconds: float, progress: Progress
) -> list[Row]:
    """Return the server's processor time per token for each pair length and number of passages."""
    rows: list[Row] = []
    with RerankClient(server.grpc_endpoint, timeout_s=600) as client:
        for length in PAIR_TOKENS:
            for count in passages:
                question = question_of_lengths(tokenizer, [length] * count)
                progress.step(f"{count} passages of {length} tokens")
                ask = partial(client.rerank, question.query, question.passages)
                cpu_s = cpu_seconds_per_run(ask, seconds, partial(server_cpu_seconds, server.process.pid))
                us_per_token = round(1e6 * cpu_s / token_count([question], tokenizer), 1)
                rows.append({"tokens/pair": length, "passages": count, "CPU us/token": us_per_token})
    return rows


def tokens_rows(ranker: CpuRanker, lengths: Sequence[int], seconds: float, progress: Progress) -> list[Row]:
    """Return processor time per token by pair length, and attention's fitted part, which grows with the length."""
    random = np.random.default_rng(0)
    costs = []
    for length in lengths:
        pairs = max(1, TOKENS_PER_BATCH // length)
        progress.step(f"{pairs} pairs of {length} tokens")
        ids = random.integers(5, int(ranker.record.architecture["vocab_size"]), pairs * length).astype(np.int32)
        batch = [PackedPairs(ids, np.full(pairs, length, np.int32))]
        cpu_s = cpu_seconds_per_run(partial(ranker.logits, batch), seconds, time.process_time)
        costs.append(1e6 * cpu_s / (pairs * length))
    _, slope = flat_and_linear_part(lengths, costs)
    return [
        {"tokens/pair": length, "CPU us/token": round(cost, 1), "attention, fitted": round(slope * length, 1)}
        for length, cost in zip(lengths, costs, strict=True)
    ]


def flat_and_linear_part(lengths: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """Fit cost = a + b × length by least squares of relative errors; return (a, b).

    Attention's products take length × width operations per token. Everything else costs every token the same.
    """
    weights = 1 / np.array(costs)
    columns = np.stack([np.ones(len(lengths)), np.array(lengths, float)], axis=1)
    solution = np.linalg.lstsq(columns * weights[:, None], np.ones(len(lengths)), rcond=None)[0]
    return float(solution[0]), float(solution[1])


def padding_rows(parameters: dict[str, int], heads: int) -> list[Row]:
    """Return the computed tokens per needed token of each mix.

    Padded: batches of PADDED_BATCH pairs, in order of arrival or sorted by length. Packed: exactly 1, except inside
    attention, which works on rows as long as the longest pair of a run.
    """
    rows: list[Row] = []
    cells = parameters["max_attention_bytes"] // (4 * heads)
    for name, mix in MIXES.items():
        lengths = mix(MIX_PAIRS, 0)
        attended = 0
        for start in range(0, len(lengths), REQUEST_PAIRS):
            request = lengths[start : start + REQUEST_PAIRS]
            for run in length_sorted_runs(request, parameters["max_run_tokens"], cells):
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


def long_ranker(repository: Path, parameters: dict[str, int], work: Path, progress: Progress) -> CpuRanker:
    """Build the published model once more, for pairs of 8,192 tokens. Raises UnsupportedCheckpoint or ParityError."""
    record = read_build_record(repository / "ranker" / "1")
    precision = cast(Precision, record.precision)
    make_model(record.source, work, precision=precision, max_pair_tokens=max(TOKENS), progress=progress)
    return bare_ranker(work, parameters)


def main() -> int:
    """Run the command line of `make bench-scaling`."""
    parser = argparse.ArgumentParser(prog="make bench-scaling", description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=PASSAGES)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each point, at least one run")
    options = parser.parse_args()
    progress = Progress()
    try:
        with running_server(REPOSITORY, "scaling") as server:
            parameters = ranker_parameters(server.grpc_endpoint)
            tokenizer = published_tokenizer(REPOSITORY)
            by_passages = passages_rows(server, tokenizer, options.passages, options.seconds, progress)
        with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work:
            ranker = long_ranker(REPOSITORY, parameters, Path(work), progress)
            by_tokens = tokens_rows(ranker, options.tokens, options.seconds, progress)
    except (ServerStartError, StaleBuild, UnsupportedCheckpoint, ParityError) as error:
        print(f"make bench-scaling: {error}", file=sys.stderr)
        return 1
    padding = padding_rows(parameters, int(ranker.record.architecture["heads"]))
    for name, rows in (("passages", by_passages), ("tokens", by_tokens), ("padding", padding)):
        write_csv(f"scaling_{name}", rows)
    write_markdown(
        "scaling",
        model_and_machine(REPOSITORY),
        "Processor time per token of one question, over gRPC:",
        markdown_table(by_passages),
        "Processor time per token by pair length, in process:",
        markdown_table(by_tokens),
        f"Computed tokens per needed token, {MIX_PAIRS} pairs, padded in batches of {PADDED_BATCH}:",
        markdown_table(padding),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
