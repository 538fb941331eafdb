"""`make bench-overhead`: the ensemble over gRPC against the bare ranker in process, in turns.

Both score the same packed requests; client, server and bare ranker share the machine. An ensemble of three Python
models that do nothing, asked in turn with the bare ranker too, shows what Triton by itself adds to one question.
Leaves benchmarks/results/overhead.md, overhead.csv and overhead_steps.csv.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient, InferInput

from benchmarks.empty_ensemble import ENSEMBLE, TENSOR, add_empty_ensemble
from benchmarks.local_ensemble import (
    REPOSITORY,
    ROOT,
    bare_ranker,
    linked_copy,
    merged,
    model_and_machine,
    packed,
    published_tokenizer,
    ranker_parameters,
    served,
)
from benchmarks.report import Row, markdown_table, write_csv, write_markdown
from benchmarks.step_statistics import STEPS, StepStatistics, read_statistics
from benchmarks.workload import mixed_questions
from packrank_backend.build_record import StaleBuild
from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_client import AsyncRerankClient, RerankClient
from packrank_server.tritonserver import ServerStartError

CONCURRENCY = 16
SHORT = Question(
    "how much protein should a female eat?",
    [f"Passage number {number} speaks of protein, and of what else a woman eats." for number in range(10)],
)


@dataclass(frozen=True)
class Compared:
    """Figures of the two ways, one of each a round, and what Triton's steps took in all the rounds."""

    ensemble: list[float]
    bare: list[float]
    steps: dict[str, StepStatistics]


def throughput(
    endpoint: str, ranker: CpuRanker, tokenizer: Tokenizer, questions: Sequence[Question], rounds: int
) -> Compared:
    """Tokens a second: CONCURRENCY requests at a time through the ensemble, full merged batches in process."""
    requests = packed(tokenizer, questions, ranker.record.max_pair_tokens)
    batches = merged(requests, ranker_parameters(endpoint))
    tokens = sum(request.input_ids.size for request in requests)
    asyncio.run(_ask_all(endpoint, questions))

    def ensemble() -> float:
        return tokens / _seconds(lambda: asyncio.run(_ask_all(endpoint, questions)))

    def bare() -> float:
        return tokens / _seconds(lambda: [ranker.logits(batch) for batch in batches])

    return _in_turns(endpoint, ensemble, bare, rounds)


def latency(endpoint: str, ranker: CpuRanker, tokenizer: Tokenizer, question: Question, rounds: int) -> Compared:
    """Milliseconds of one question, one at a time: asked over gRPC, and its packed tensors scored in process."""
    (request,) = packed(tokenizer, [question], ranker.record.max_pair_tokens)
    with RerankClient(endpoint, timeout_s=600) as client:

        def ensemble() -> float:
            return 1e3 * _seconds(lambda: client.rerank(question.query, question.passages))

        def bare() -> float:
            return 1e3 * _seconds(lambda: ranker.logits([request]))

        for _ in range(5):
            ensemble(), bare()
        return _in_turns(endpoint, ensemble, bare, rounds)


def empty_ensemble(
    endpoint: str, ranker: CpuRanker, tokenizer: Tokenizer, question: Question, rounds: int
) -> list[float]:
    """Milliseconds of the empty ensemble over gRPC, each after the bare ranker has had the processor's caches."""
    (request,) = packed(tokenizer, [question], ranker.record.max_pair_tokens)
    carried = InferInput(TENSOR, [1, 10], "INT32")
    carried.set_data_from_numpy(np.zeros((1, 10), np.int32))
    milliseconds = []
    with InferenceServerClient(endpoint) as connection:
        for _ in range(5 + rounds):
            ranker.logits([request])
            milliseconds.append(1e3 * _seconds(lambda: connection.infer(ENSEMBLE, [carried])))
    return milliseconds[5:]


def _in_turns(endpoint: str, ensemble: Callable[[], float], bare: Callable[[], float], rounds: int) -> Compared:
    with InferenceServerClient(endpoint) as connection:
        before = read_statistics(connection)
        figures = [(ensemble(), bare()) for _ in range(rounds)]
        after = read_statistics(connection)
    first, second = zip(*figures, strict=True)
    return Compared(list(first), list(second), {step: after[step].since(before[step]) for step in STEPS})


def _with_empty_ensemble(repository: Path, directory: Path) -> Path:
    add_empty_ensemble(linked_copy(repository, directory))
    return directory


async def _ask_all(endpoint: str, questions: Sequence[Question]) -> None:
    places = asyncio.Semaphore(CONCURRENCY)
    async with AsyncRerankClient(endpoint, timeout_s=600) as client:

        async def ask(question: Question) -> None:
            async with places:
                await client.rerank(question.query, question.passages, truncate="END")

        await asyncio.gather(*map(ask, questions))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rows(saturated: Compared, alone: Compared, empty_ms: Sequence[float]) -> list[Row]:
    """The report's rows: medians, and the median of each round's own ratio or difference."""
    ratio = statistics.median(e / b for e, b in zip(saturated.ensemble, saturated.bare, strict=True))
    added = statistics.median(e - b for e, b in zip(alone.ensemble, alone.bare, strict=True))
    return [
        {
            "": f"tokens/s, {CONCURRENCY} requests at a time",
            "ensemble": round(statistics.median(saturated.ensemble)),
            "bare ranker": round(statistics.median(saturated.bare)),
            "overhead": f"{100 * (1 - ratio):.1f} %",
        },
        {
            "": "ms, one query x 10 short passages alone",
            "ensemble": round(statistics.median(alone.ensemble), 2),
            "bare ranker": round(statistics.median(alone.bare), 2),
            "overhead": f"{added:+.2f} ms",
        },
        {
            "": "ms, three Python models that do nothing, alone",
            "ensemble": round(statistics.median(empty_ms), 2),
            "bare ranker": "",
            "overhead": "",
        },
    ]


def step_rows(compared: dict[str, Compared]) -> list[Row]:
    """Means of a request in each step, as Triton counts them."""
    return [
        {
            "step": step,
            "load": load,
            "queue ms": round(times.queue_ms, 2),
            "compute ms": round(times.compute_ms, 2),
            "requests/run": round(times.requests_per_execution, 2),
        }
        for load, measured in compared.items()
        for step, times in measured.steps.items()
    ]


def main() -> int:
    """Command line of `make bench-overhead`."""
    parser = argparse.ArgumentParser(prog="make bench-overhead", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--requests", type=int, default=48, help="mixed requests of a round at saturation")
    parser.add_argument("--rounds", type=int, default=3, help="rounds at saturation")
    parser.add_argument("--questions", type=int, default=60, help="rounds of one question alone")
    options = parser.parse_args()
    progress = Progress()
    try:
        with (
            tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work,
            served(_with_empty_ensemble(options.repository, Path(work, "repository")), "overhead") as server,
        ):
            endpoint = server.grpc_endpoint
            ranker = bare_ranker(options.repository, ranker_parameters(endpoint))
            tokenizer = published_tokenizer(options.repository)
            progress.step(f"one question alone, {options.questions} times each way")
            alone = latency(endpoint, ranker, tokenizer, SHORT, options.questions)
            progress.step(f"an ensemble of three Python models that do nothing, {options.questions} times")
            empty_ms = empty_ensemble(endpoint, ranker, tokenizer, SHORT, options.questions)
            progress.step(f"{options.requests} requests, {options.rounds} rounds each way")
            saturated = throughput(endpoint, ranker, tokenizer, mixed_questions(options.requests), options.rounds)
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-overhead: {error}", file=sys.stderr)
        return 1
    table, steps = rows(saturated, alone, empty_ms), step_rows({"saturated": saturated, "alone": alone})
    write_csv("overhead", table)
    write_csv("overhead_steps", steps)
    heading = f"The ensemble over gRPC and the bare ranker, in turns. {model_and_machine(options.repository)}"
    write_markdown("overhead", "\n\n".join([heading, markdown_table(table), markdown_table(steps)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
