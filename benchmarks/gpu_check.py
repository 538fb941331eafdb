"""`make gpu-check`: the one command for a GPU machine: build, gate, serve, measure, report.

Builds the target's engine (unless told not to), which includes the parity gate on the GPU; serves it; sends pairs of
one length after another, then mixed ones, at rising concurrency; and says how near the card's arithmetic it comes.
Leaves benchmarks/results/gpu-check-<config>.md and .csv.

No GPU has run this yet. With CONFIG=cpu everything but the engine runs on any machine, which is how it is tested.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.machine import machine
from benchmarks.perf import sweep
from benchmarks.perf_analyzer import PerfAnalyzerError
from benchmarks.report import markdown_table
from benchmarks.workload import mixed_questions, uniform_questions
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_backend.engine_record import configured_plan, read_engine_record
from packrank_backend.gpu import installed_gpus
from packrank_backend.pairs import Question
from packrank_backend.tritonserver import ServerStartError, TritonServer, free_ports
from packrank_build.progress import Progress
from packrank_build.targets import TARGETS
from packrank_client import RerankError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = ("concurrency", "pairs/s", "tokens/s", "of ceiling %", "p50 ms", "p95 ms", "p99 ms", "ranker requests/run")


def ceiling_tokens_per_s(peak_flops: float, matrix_elements: int) -> float:
    """Tokens a second if every multiply-add of the projections ran at peak, attention apart.

    `matrix_elements` are the weights that every token is multiplied with: all but the embedding.
    """
    return peak_flops / (2 * matrix_elements)


def matrix_elements(architecture: dict[str, int]) -> int:
    """Elements of the projections of all layers, from a build record's architecture."""
    width, inner = architecture["hidden_size"], architecture["intermediate_size"]
    heads, kv_heads, dim = architecture["heads"], architecture["kv_heads"], architecture["head_dim"]
    return architecture["layers"] * (2 * width * dim * (heads + kv_heads) + 3 * width * inner)


def workloads(
    pair_tokens: Sequence[int], requests: int, request_tokens: int, tokenizer: Tokenizer
) -> dict[str, list[Question]]:
    """Name of each workload -> its questions."""
    uniform = {
        f"pairs of {length} tokens": uniform_questions(requests, length, request_tokens, tokenizer)
        for length in pair_tokens
    }
    return uniform | {"mixed lengths": mixed_questions(requests)}


def measure(
    binary: Path,
    endpoint: str,
    by_name: dict[str, list[Question]],
    concurrencies: Sequence[int],
    ceiling: float | None,
    progress: Progress,
) -> dict[str, list[dict[str, float]]]:
    """Rows of each workload; with a ceiling in tokens/s, how much of it is reached."""
    measured = {}
    for name, questions in by_name.items():
        progress.step(name)
        rows = sweep(binary, endpoint, questions, [c for c in concurrencies if c <= len(questions)], progress)
        if ceiling is not None:
            rows = [row | {"of ceiling %": round(100 * row["tokens/s"] / ceiling, 1)} for row in rows]
        measured[name] = rows
    return measured


def report(heading: str, measured: dict[str, list[dict[str, float]]]) -> str:
    """The whole report as Markdown."""
    parts = [heading]
    for name, rows in measured.items():
        parts += [f"## {name[0].upper()}{name[1:]}", markdown_table(rows, [c for c in COLUMNS if c in rows[0]])]
    return "\n\n".join(parts) + "\n"


def write_results(name: str, heading: str, measured: dict[str, list[dict[str, float]]]) -> Path:
    """Write report and CSV; returns the report's path."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        rows = [{"workload": workload} | row for workload, rows in measured.items() for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    path = RESULTS / f"{name}.md"
    path.write_text(report(heading, measured), encoding="utf-8")
    return path


def main() -> int:
    """Command line of `make gpu-check`."""
    parser = argparse.ArgumentParser(prog="make gpu-check", description=__doc__)
    parser.add_argument("perf_analyzer", type=Path, help="the binary")
    parser.add_argument("--config", required=True, help="target of an engine, or cpu or onnx")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--no-build", action="store_true", help="measure the engine that is already published")
    parser.add_argument("--requests", type=int, default=256, help="requests of each workload at each concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--pair-tokens", type=int, nargs="+", default=[64, 256, 1024, 4096, 8192])
    options = parser.parse_args()
    progress = Progress()
    target = TARGETS.get(options.config)
    if target is not None and not options.no_build:
        command = [sys.executable, "-m", "packrank_build.make_engine", f"--target={target.name}"]
        if subprocess.run([*command, f"--repository={options.repository}"], check=False).returncode:
            return 1
    try:
        record = read_build_record(options.repository / "ranker" / "1")
        tokenizer = Tokenizer.from_file(str(options.repository / "tokenizer" / "1" / "tokenizer.json"))
        lengths = [length for length in options.pair_tokens if length <= record.max_pair_tokens]
        ceiling = None
        if target is not None:
            ceiling = ceiling_tokens_per_s(target.peak_fp16_flops, matrix_elements(record.architecture))
        log = ROOT / ".cache" / "tritonserver-gpu-check.log"
        log.parent.mkdir(exist_ok=True)
        with TritonServer(options.repository, config_name=options.config, ports=free_ports(), log=log) as server:
            measured = measure(
                options.perf_analyzer,
                server.grpc_endpoint,
                workloads(lengths, options.requests, 8192, tokenizer),
                options.concurrency,
                ceiling,
                progress,
            )
    except (PerfAnalyzerError, RerankError, ServerStartError, StaleBuild) as error:
        print(f"make gpu-check: {error}", file=sys.stderr)
        return 1
    path = write_results(f"gpu-check-{options.config}", _heading(options.config, options.repository, ceiling), measured)
    print(f"\n{path.read_text(encoding='utf-8')}\nWritten to {path} and {path.with_suffix('.csv').name}.")
    return 0


def _heading(config_name: str, repository: Path, ceiling: float | None) -> str:
    record = read_build_record(repository / "ranker" / "1")
    gpus = ", ".join(sorted({gpu.name for gpu in installed_gpus()})) or "none"
    lines = [
        f"# Load of the ensemble with the config `{config_name}`",
        f"- machine: {machine().removesuffix(', no GPU used')}; GPUs: {gpus}",
        f"- model: {record.source}, pairs of up to {record.max_pair_tokens} tokens",
    ]
    asked = configured_plan(repository, config_name)
    if asked:
        engine = read_engine_record(asked[1])
        lines += [
            f"- engine: {engine.precision}, TensorRT {engine.tensorrt}, built on {engine.gpu}",
            f"- parity on the GPU: {engine.parity}",
        ]
    if ceiling:
        lines.append(f"- ceiling: {ceiling:,.0f} tokens/s, the card's dense fp16 peak on the projections alone")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
