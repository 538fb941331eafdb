"""`make perf`: send requests of mixed lengths to the ensemble with perf_analyzer, at rising concurrency.

Writes benchmarks/results/perf.csv and perf.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient

from benchmarks.errors import exit_code
from benchmarks.processes import REPOSITORY, running_server
from benchmarks.results import markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.serving.perf_analyzer import LoadResult, run_perf_analyzer
from benchmarks.workload import mixed_questions
from packrank_backend.text.question import Question
from packrank_build.progress import Progress
from packrank_client import RerankClient

STEPS = ("tokenizer", "ranker", "postprocessor")

Counts = dict[str, NDArray[np.int64]]
"""Triton's totals by step: INT64 [requests, executions, queue_ns, compute_ns]; times are summed over requests."""


def main() -> int:
    """Run the command line of `make perf`."""
    parser = argparse.ArgumentParser(prog="make perf", description=__doc__)
    parser.add_argument("perf_analyzer", type=Path, help="the binary")
    parser.add_argument("--url", help="gRPC endpoint of a running server; by default one is started")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--requests", type=int, default=64, help="requests at each concurrency")
    options = parser.parse_args()
    if options.requests < max(options.concurrency) or min(options.concurrency) < 1:
        parser.error("REQUESTS must be at least the highest CONCURRENCY, and that at least 1.")
    return exit_code("make perf", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Measure the server and write the report."""
    questions = mixed_questions(options.requests)
    with _endpoint(options.url) as endpoint:
        rows = sweep(options.perf_analyzer, endpoint, questions, options.concurrency, Progress())
        heading = _heading(endpoint, options.requests, local=options.url is None)
    write_csv("perf", rows)
    steps = [column for column in rows[0] if column.startswith(STEPS)]
    load = [column for column in rows[0] if column not in steps]
    write_markdown("perf", heading, markdown_table(rows, load), markdown_table(rows, ["concurrency", *steps]))


@contextmanager
def _endpoint(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with running_server(REPOSITORY, "perf") as server:
        yield server.grpc_endpoint


def sweep(
    binary: Path, endpoint: str, questions: Sequence[Question], concurrencies: Sequence[int], progress: Progress
) -> list[dict[str, float]]:
    """Send all questions at each concurrency; return one row for each. Raises BenchmarkError or RerankError."""
    requests = len(questions)
    progress.step(f"each of {requests} requests once, to warm up and to count tokens")
    tokens = _served_tokens(endpoint, questions)
    pairs = sum(len(question.passages) for question in questions)
    rows = []
    with InferenceServerClient(endpoint) as connection:
        for concurrency in concurrencies:
            progress.step(f"concurrency {concurrency}: {requests} requests, {pairs} pairs, {tokens} tokens")
            before = read_counts(connection)
            load = run_perf_analyzer(binary, endpoint, questions, concurrency=concurrency)
            after = read_counts(connection)
            steps = {step: after[step] - before[step] for step in STEPS}
            rows.append(sweep_row(concurrency, load, steps, pairs=pairs / requests, tokens=tokens / requests))
    return rows


def read_counts(connection: Any) -> Counts:
    """Read what Triton has counted since it started, through a tritonclient connection."""
    found = {}
    for step in STEPS:
        model = connection.get_inference_statistics(step).model_stats[0]
        times = model.inference_stats
        compute_ns = times.compute_input.ns + times.compute_infer.ns + times.compute_output.ns
        found[step] = np.array([model.inference_count, model.execution_count, times.queue.ns, compute_ns], np.int64)
    return found


def _served_tokens(endpoint: str, questions: Sequence[Question]) -> int:
    with RerankClient(endpoint, timeout_s=600) as client:
        return sum(
            result.token_count
            for question in questions
            for result in client.rerank(question.query, question.passages, truncate="END")
        )


def sweep_row(concurrency: int, load: LoadResult, steps: Counts, *, pairs: float, tokens: float) -> dict[str, float]:
    """Return one row of the report. `pairs` and `tokens` are means per request, and so are the steps' times.

    A step's compute time is the whole time of the merged batch that held the request.
    """
    row = {
        "concurrency": concurrency,
        "pairs/s": round(load.requests_per_s * pairs, 1),
        "tokens/s": round(load.requests_per_s * tokens),
        "p50 ms": round(load.p50_ms, 1),
        "p95 ms": round(load.p95_ms, 1),
        "p99 ms": round(load.p99_ms, 1),
    }
    for name, (requests, _, queue_ns, compute_ns) in steps.items():
        row[f"{name} queue ms"] = round(float(queue_ns / requests / 1e6), 2)
        row[f"{name} compute ms"] = round(float(compute_ns / requests / 1e6), 2)
    requests, executions, *_ = steps["ranker"]
    row["ranker requests/run"] = round(float(requests / executions), 2)
    return row


def _heading(endpoint: str, requests: int, *, local: bool) -> str:
    with InferenceServerClient(endpoint) as connection:
        version = connection.get_server_metadata().version
        backend = connection.get_model_config("ranker").config.backend
    return (
        f"perf_analyzer over gRPC, {requests} requests of 1 to 20 passages at each concurrency. "
        + (model_and_machine(REPOSITORY) if local else f"Server: {endpoint}, machine unknown.")
        + f" tritonserver {version}, ranker on backend {backend}. Latencies are of whole requests; queue and compute "
        "times are means per request."
    )


if __name__ == "__main__":
    sys.exit(main())
