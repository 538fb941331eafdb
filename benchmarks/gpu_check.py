"""`make gpu-check`: the one command for a GPU machine: build, gate, serve, measure, compare, report.

Builds the target's engine (unless told not to), which includes the parity gate on the GPU; serves it; sends pairs of
one length after another, then mixed ones, at rising concurrency; and says how near the card's arithmetic it comes.
Then, with the server gone, scores the same pairs in process packed, padded and with Hugging Face (padding_peers.py).
Leaves benchmarks/results/gpu-check-<config>.md, .html and .csv.

No GPU has run this yet. With CONFIG=cpu everything but the engines runs on any machine, which is how it is tested.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.gpu_report import Section, html_report, markdown_report
from benchmarks.machine import machine
from benchmarks.padding_peers import TORCH_PYTHON, PeerError, Peers, compare, tokenized
from benchmarks.perf import sweep
from benchmarks.perf_analyzer import PerfAnalyzerError
from benchmarks.plots import bar_plot, line_plot
from benchmarks.workload import mixed_questions, uniform_questions
from packrank_backend.build_record import BuildRecord, StaleBuild, read_build_record
from packrank_backend.cpu_ranker import published_ranker
from packrank_backend.packing import pack
from packrank_backend.pairs import Question
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.ops import Precision
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.make_engine import published_checkpoint, tensorrt_module
from packrank_build.progress import Progress
from packrank_build.tensorrt.log import BuildMessages, EngineError
from packrank_build.tensorrt.padded_engine import PaddedRanker, padded_engine, padded_inputs
from packrank_build.tensorrt.runner import EngineRanker
from packrank_build.tensorrt.targets import TARGETS, Target
from packrank_client import RerankError
from packrank_server.engine_record import configured_plan, read_engine_record
from packrank_server.gpu import installed_gpus
from packrank_server.tritonserver import ServerStartError, TritonServer, free_ports

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = ("concurrency", "pairs/s", "tokens/s", "of ceiling %", "p50 ms", "p95 ms", "p99 ms", "ranker requests/run")
CPU_RUN_TOKENS = 1024  # as in the config cpu

Measured = dict[str, list[dict[str, float]]]
Compared = dict[str, list[dict[str, float | str]]]


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
) -> Measured:
    """Rows of each workload; with a ceiling in tokens/s, how much of it is reached."""
    measured = {}
    for name, questions in by_name.items():
        progress.step(name)
        rows = sweep(binary, endpoint, questions, [c for c in concurrencies if c <= len(questions)], progress)
        if ceiling is not None:
            rows = [row | {"of ceiling %": round(100 * row["tokens/s"] / ceiling, 1)} for row in rows]
        measured[name] = rows
    return measured


def cpu_peers(checkpoint: Checkpoint, repository: Path, record: BuildRecord, work: Path) -> Peers:
    """ONNX Runtime in place of the engines, fp32."""
    ranker = published_ranker(
        repository / "ranker" / "1", threads=0, max_run_tokens=CPU_RUN_TOKENS, max_attention_bytes=1 << 29
    )
    graph = packed_graph(checkpoint.architecture, checkpoint.weight, "fp32", record.max_pair_tokens, padded=True)
    ir.save(graph, work / "padded.onnx", external_data="padded.onnx.data")
    session = onnxruntime.InferenceSession(work / "padded.onnx", providers=["CPUExecutionProvider"])
    return Peers(
        packed=lambda requests: np.concatenate(ranker.logits([pack(pairs) for pairs in requests])),
        padded=lambda pairs: session.run(["logits"], padded_inputs(pairs))[0],
        max_padded_tokens=CPU_RUN_TOKENS,
    )


def gpu_peers(target: Target, checkpoint: Checkpoint, repository: Path, record: BuildRecord, work: Path) -> Peers:
    """The published plan, and one of padded pairs, built here. For fp8 the padded one is fp16. Raises EngineError."""
    trt = tensorrt_module()
    plan = repository / "ranker" / "1" / target.plan_file
    precision: Precision = "bf16" if read_engine_record(plan).precision == "bf16" else "fp16"
    graph = packed_graph(
        checkpoint.architecture,
        checkpoint.weight,
        precision,
        record.max_pair_tokens,
        attention="row_mask",
        padded=True,
    )
    ir.save(graph, work / "padded.onnx", external_data="padded.onnx.data")
    max_padded_tokens = max(target.batch.tokens, record.max_pair_tokens)
    progress = Progress()
    engine = padded_engine(
        trt, work / "padded.onnx", max_padded_tokens, BuildMessages(progress.step), sm=None, progress=progress.detail
    )
    packed, padded = EngineRanker(trt, plan.read_bytes(), target), PaddedRanker(trt, bytes(engine), max_padded_tokens)
    return Peers(
        packed=lambda requests: np.concatenate(packed.logits([pack(pairs) for pairs in requests])),
        padded=padded.logits,
        max_padded_tokens=max_padded_tokens,
    )


def compare_peers(
    repository: Path,
    target: Target | None,
    by_name: dict[str, list[Question]],
    tokenizer: Tokenizer,
    most_tokens: int,
    huggingface: bool,
    ceiling: float | None,
    progress: Progress,
) -> Compared:
    """Rows of each workload: the same pairs, packed, padded and by Hugging Face. Raises PeerError, EngineError."""
    record = read_build_record(repository / "ranker" / "1")
    checkpoint = published_checkpoint(record)
    with tempfile.TemporaryDirectory(prefix="packrank-padded-") as work:
        if target is None:
            peers = cpu_peers(checkpoint, repository, record, Path(work))
        else:
            peers = gpu_peers(target, checkpoint, repository, record, Path(work))
        compared = {}
        for name, questions in by_name.items():
            progress.step(f"packed, padded and Hugging Face: {name}")
            requests = tokenized(questions, tokenizer, most_tokens, record.max_pair_tokens)
            rows = compare(requests, peers, checkpoint.directory if huggingface else None)
            if ceiling is not None:
                rows = [row | {"of ceiling %": 100 * float(row["tokens/s"]) / ceiling} for row in rows]
            compared[name] = rows
    return compared


def write_results(name: str, heading: Sequence[str], measured: Measured, compared: Compared) -> Path:
    """Write the report in Markdown and HTML, its plots and the CSV; returns the Markdown's path."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        lines = [{"workload": workload} | row for workload, rows in measured.items() for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    load = {workload: [(r["concurrency"], r["tokens/s"]) for r in rows] for workload, rows in measured.items()}
    latency = {workload: [(r["concurrency"], r["p95 ms"]) for r in rows] for workload, rows in measured.items()}
    peers = {workload: {str(r["peer"]): float(r["tokens/s"]) for r in rows} for workload, rows in compared.items()}
    plots = [RESULTS / f"{name}-{plot}.svg" for plot in ("load", "latency", "peers")]
    line_plot(plots[0], load, title="Served", x="concurrency", y="tokens/s", log_x=True)
    line_plot(plots[1], latency, title="Latency", x="concurrency", y="p95 ms", log_x=True, log_y=True)
    bar_plot(plots[2], peers, title="The same pairs in process", y="tokens/s")
    sections = [Section("Served: throughput and latency", "", plots=plots[:2])]
    for workload, rows in measured.items():
        kept = [{column: row[column] for column in COLUMNS if column in row} for row in rows]
        sections.append(Section(f"Served: {workload}", "", rows=kept))
    sections.append(
        Section(
            "Packed against padded",
            "The same pairs in one process, without a server, median of three runs after one. Padded batches are "
            "bounded by pairs x longest; sorting all pairs by length first is the best that padding can do.",
            plots=plots[2:],
        )
    )
    sections += [Section(f"Packed against padded: {workload}", "", rows=rows) for workload, rows in compared.items()]
    path = RESULTS / f"{name}.md"
    path.write_text(markdown_report(heading, sections), encoding="utf-8")
    path.with_suffix(".html").write_text(html_report(heading, sections), encoding="utf-8")
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
    parser.add_argument("--peer-tokens", type=int, default=65536, help="most tokens of a workload that peers score")
    parser.add_argument("--no-huggingface", action="store_true", help="leave out the peer that needs torch")
    options = parser.parse_args()
    if not options.no_huggingface and not TORCH_PYTHON.is_file():
        parser.error(f"{TORCH_PYTHON} is missing: run `make gpu-check`, which installs it, or pass --no-huggingface.")
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
        by_name = workloads(lengths, options.requests, 8192, tokenizer)
        with TritonServer(options.repository, config_name=options.config, ports=free_ports(), log=log) as server:
            measured = measure(
                options.perf_analyzer, server.grpc_endpoint, by_name, options.concurrency, ceiling, progress
            )
        # the server's engine has left the GPU's memory
        compared = compare_peers(
            options.repository,
            target,
            by_name,
            tokenizer,
            options.peer_tokens,
            not options.no_huggingface,
            ceiling,
            progress,
        )
    except (
        PerfAnalyzerError,
        PeerError,
        RerankError,
        ServerStartError,
        StaleBuild,
        UnsupportedCheckpoint,
        EngineError,
    ) as error:
        print(f"make gpu-check: {error}", file=sys.stderr)
        return 1
    heading = _heading(options.config, options.repository, ceiling)
    path = write_results(f"gpu-check-{options.config}", heading, measured, compared)
    print(f"\n{path.read_text(encoding='utf-8')}\nWritten to {path}, and beside it as .html and .csv.")
    return 0


def _heading(config_name: str, repository: Path, ceiling: float | None) -> list[str]:
    record = read_build_record(repository / "ranker" / "1")
    gpus = ", ".join(sorted({gpu.name for gpu in installed_gpus()})) or "none"
    lines = [
        f"The ensemble with the config {config_name}",
        f"machine: {machine().removesuffix(', no GPU used')}; GPUs: {gpus}",
        f"model: {record.source}, pairs of up to {record.max_pair_tokens} tokens",
    ]
    asked = configured_plan(repository, config_name)
    if asked:
        engine = read_engine_record(asked[1])
        lines += [
            f"engine: {engine.precision}, TensorRT {engine.tensorrt}, built on {engine.gpu}",
            f"parity on the GPU: {engine.parity}",
        ]
    if ceiling:
        lines.append(f"ceiling: {ceiling:,.0f} tokens/s, the card's dense fp16 peak on the projections alone")
    return lines


if __name__ == "__main__":
    sys.exit(main())
