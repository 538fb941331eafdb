"""One run of NVIDIA's perf_analyzer against a running ensemble."""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


class PerfAnalyzerError(Exception):
    """perf_analyzer failed; the message holds its own words."""


@dataclass(frozen=True)
class LoadResult:
    """What perf_analyzer reports for one load; latencies are of whole requests."""

    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def run_perf_analyzer(
    binary: Path,
    endpoint: str,
    data: Path,
    *,
    requests: int,
    concurrency: int | None = None,
    requests_per_s: float | None = None,
) -> LoadResult:
    """Send `requests` requests of the input-data file over gRPC.

    Either `concurrency` at a time, or at random times (Poisson), `requests_per_s` on average, whether answers have come
    or not. With as many requests as the file has steps, each step is sent once. Raises PerfAnalyzerError.
    """
    if requests_per_s is None:
        report = data.with_name(f"concurrency_{concurrency}.csv")
        load = ["--concurrency-range", str(concurrency)]
    else:
        report = data.with_name(f"rate_{requests_per_s:g}.csv")
        load = ["--request-rate-range", f"{requests_per_s:g}", "--request-distribution", "poisson", "--async"]
    command = [
        *(str(binary), "-m", "reranker", "-u", endpoint, "-i", "grpc"),
        *("--input-data", str(data), "--request-count", str(requests)),
        *(*load, "-f", str(report)),
    ]
    # the libraries that a plain machine lacks lie beside the binary
    libraries = os.pathsep.join(filter(None, [str(binary.parent), os.environ.get("LD_LIBRARY_PATH")]))
    environment = os.environ | {"LD_LIBRARY_PATH": libraries}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not report.is_file():
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise PerfAnalyzerError("perf_analyzer failed: " + "\n".join(lines[:10]))
    with report.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return LoadResult(
        requests_per_s=float(row["Inferences/Second"]),
        p50_ms=float(row["p50 latency"]) / 1000,
        p95_ms=float(row["p95 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
    )
