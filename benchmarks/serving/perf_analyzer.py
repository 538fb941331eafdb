"""Run NVIDIA's perf_analyzer once against a running ensemble."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from packrank_backend.text.question import Question


@dataclass(frozen=True)
class LoadResult:
    """What perf_analyzer reports for one load. Latencies are of whole requests."""

    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def input_data(questions: Sequence[Question]) -> dict[str, list[dict[str, object]]]:
    """Return the content of perf_analyzer's --input-data file: one step per request.

    https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/input_data.md
    """
    return {
        "data": [
            {
                "query": [question.query],
                "passages": {"content": list(question.passages), "shape": [len(question.passages)]},
            }
            for question in questions
        ]
    }


def run_perf_analyzer(binary: Path, endpoint: str, questions: Sequence[Question], *, concurrency: int) -> LoadResult:
    """Send each question once over gRPC, `concurrency` at a time. Raises BenchmarkError."""
    with tempfile.TemporaryDirectory() as work:
        data, report = Path(work, "questions.json"), Path(work, "report.csv")
        data.write_text(json.dumps(input_data(questions)), encoding="utf-8")
        command = [
            *(str(binary), "-m", "reranker", "-u", endpoint, "-i", "grpc", "--input-data", str(data)),
            *("--request-count", str(len(questions)), "--concurrency-range", str(concurrency), "-f", str(report)),
        ]
        # libraries that a plain machine lacks are beside the binary
        libraries = os.pathsep.join(filter(None, [str(binary.parent), os.environ.get("LD_LIBRARY_PATH")]))
        environment = os.environ | {"LD_LIBRARY_PATH": libraries}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not report.is_file():
            lines = (done.stdout + done.stderr).strip().splitlines()
            raise BenchmarkError("perf_analyzer failed: " + "\n".join(lines[:10]))
        with report.open(newline="") as file:
            (row,) = csv.DictReader(file)
    return LoadResult(
        requests_per_s=float(row["Inferences/Second"]),
        p50_ms=float(row["p50 latency"]) / 1000,
        p95_ms=float(row["p95 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
    )
