"""`make perf`: drive the running ensemble with perf_analyzer on requests of mixed lengths, at rising concurrency.

Leaves benchmarks/results/perf.csv and perf.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from benchmarks.machine import machine
from benchmarks.perf_analyzer import LoadResult, PerfAnalyzerError, run_perf_analyzer
from benchmarks.report import markdown_table
from benchmarks.step_statistics import STEPS, StepStatistics, read_statistics
from benchmarks.workload import mixed_questions, perf_analyzer_data
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_client import RerankClient, RerankError
from packrank_server.tritonserver import ServerStartError, TritonServer, free_ports

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = ROOT / "model_repository"
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Command line of `make perf`."""
    parser = argparse.ArgumentParser(prog="make perf", description=__doc__)
    parser.add_argument("perf_analyzer", type=Path, help="the binary")
    parser.add_argument("--url", help="gRPC endpoint of a running server; without it one is started")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--requests", type=int, default=64, help="requests at each concurrency")
    options = parser.parse_args()
    if options.requests < max(options.concurrency) or min(options.concurrency) < 1:
        parser.error("REQUESTS must be at least the highest CONCURRENCY, and that at least 1.")
    try:
        with _endpoint(options.url) as endpoint:
            rows = sweep(
                options.perf_analyzer, endpoint, mixed_questions(options.requests), options.concurrency, Progress()
            )
            heading = _heading(endpoint, options.requests, local=options.url is None)
    except (PerfAnalyzerError, RerankError, ServerStartError, StaleBuild) as error:
        print(f"make perf: {error}", file=sys.stderr)
        return 1
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "perf.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    steps = [column for column in rows[0] if column.startswith(STEPS)]
    load = [column for column in rows[0] if column not in steps]
    tables = (markdown_table(rows, load), markdown_table(rows, ["concurrency", *steps]))
    report = "\n\n".join([heading, *tables]) + "\n"
    (RESULTS / "perf.md").write_text(report, encoding="utf-8")
    print(f"\n{report}\nWritten to benchmarks/results/perf.md and perf.csv.")
    return 0


@contextmanager
def _endpoint(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    log = ROOT / ".cache" / "tritonserver-perf.log"
    log.parent.mkdir(exist_ok=True)
    with TritonServer(REPOSITORY, ports=free_ports(), log=log) as server:
        yield server.grpc_endpoint


def sweep(
    binary: Path, endpoint: str, questions: Sequence[Question], concurrencies: Sequence[int], progress: Progress
) -> list[dict[str, float]]:
    """Send all questions at each concurrency; one row of the report for each."""
    requests = len(questions)
    progress.step(f"every one of {requests} requests once, to warm up and to count tokens")
    tokens = _count_tokens(endpoint, questions)
    pairs = sum(len(question.passages) for question in questions)
    rows = []
    with tempfile.TemporaryDirectory() as work, InferenceServerClient(endpoint) as connection:
        data = Path(work, "workload.json")
        data.write_text(json.dumps(perf_analyzer_data(questions)), encoding="utf-8")
        for concurrency in concurrencies:
            progress.step(f"concurrency {concurrency}: {requests} requests, {pairs} pairs, {tokens} tokens")
            before = read_statistics(connection)
            load = run_perf_analyzer(binary, endpoint, data, requests=requests, concurrency=concurrency)
            after = read_statistics(connection)
            steps = {step: after[step].since(before[step]) for step in STEPS}
            rows.append(sweep_row(concurrency, load, steps, pairs=pairs / requests, tokens=tokens / requests))
    return rows


def _count_tokens(endpoint: str, questions: Sequence[Question]) -> int:
    with RerankClient(endpoint, timeout_s=600) as client:
        return sum(
            result.token_count
            for question in questions
            for result in client.rerank(question.query, question.passages, truncate="END")
        )


def sweep_row(
    concurrency: int, load: LoadResult, steps: dict[str, StepStatistics], *, pairs: float, tokens: float
) -> dict[str, float]:
    """One row of the report; `pairs` and `tokens` are the workload's means of one request."""
    row = {
        "concurrency": concurrency,
        "pairs/s": round(load.requests_per_s * pairs, 1),
        "tokens/s": round(load.requests_per_s * tokens),
        "p50 ms": round(load.p50_ms, 1),
        "p95 ms": round(load.p95_ms, 1),
        "p99 ms": round(load.p99_ms, 1),
    }
    for name, step in steps.items():
        row[f"{name} queue ms"] = round(step.queue_ms, 2)
        row[f"{name} compute ms"] = round(step.compute_ms, 2)
    row["ranker requests/run"] = round(steps["ranker"].requests_per_execution, 2)
    return row


def _heading(endpoint: str, requests: int, *, local: bool) -> str:
    with InferenceServerClient(endpoint) as connection:
        version = connection.get_server_metadata().version
        ranker = connection.get_model_config("ranker").config
    lines = [f"Load of the ensemble over gRPC: perf_analyzer, {requests} requests at each concurrency."]
    if local:
        record = read_build_record(REPOSITORY / "ranker" / "1")
        lines += [f"- machine: {machine()}", f"- model: {record.source}, {record.precision}"]
    else:
        lines += [f"- server: {endpoint}, machine not known here"]
    lines += [
        f"- tritonserver {version}, ranker on backend {ranker.backend}",
        "- latencies are of whole requests (1 to 20 passages); queue and compute are means of a request",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
