"""`make check-gpu`: build, gate, serve, measure, compare and report, in one command on a GPU machine.

Builds the target's engine with its parity gate, serves it, and sends pairs of one length after another, then mixed
ones, at rising concurrency. Then stops the server and scores the same pairs packed, padded and with Hugging Face.
Writes benchmarks/results/check-gpu-<config>.md, its plots and .csv.

No GPU has run this yet. With CONFIG=cpu everything but the engines runs on any machine, and so it is tested.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.bare_ranker import packed_requests, published_tokenizer
from benchmarks.errors import exit_code
from benchmarks.processes import REPOSITORY, log_file
from benchmarks.results import Row, machine, markdown_table, result_file, write_csv, write_markdown
from benchmarks.serving.perf import sweep
from benchmarks.workload import mixed_questions
from packrank_backend.build_record import BuildRecord, read_build_record
from packrank_backend.packing import PackedPairs, pack
from packrank_backend.ranker.cpu_ranker import published_ranker
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.parity import pairs_of
from packrank_build.make_engine import published_checkpoint
from packrank_build.progress import Progress
from packrank_build.tensorrt.graph import tensorrt_graph
from packrank_build.tensorrt.installation import tensorrt_module
from packrank_build.tensorrt.log import BuildMessages
from packrank_build.tensorrt.padded_engine import PaddedRanker, padded_engine, padded_inputs
from packrank_build.tensorrt.runner import EngineRanker
from packrank_build.tensorrt.targets import TARGETS, EnginePrecision, Target
from packrank_server.engine.engine_record import configured_plan, read_engine_record
from packrank_server.engine.gpu import installed_gpus
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.checks.gpu.engine import build_engine
from tests.checks.gpu.padding import TORCH_PYTHON, Pairs, Peers, compare

COLUMNS = ("concurrency", "pairs/s", "tokens/s", "of ceiling %", "p50 ms", "p95 ms", "p99 ms", "ranker requests/run")
REQUEST_TOKENS = 8192
CPU_RUN_TOKENS = 1024  # padded tokens per run, as in the config cpu

Tables = dict[str, list[Row]]
"""Rows by workload."""


def ceiling_tokens_per_s(peak_flops: float, matrix_elements: int) -> float:
    """Return tokens/s if every multiply-add of the projections ran at peak, attention excluded.

    `matrix_elements` are the weights that every token is multiplied with: all but the embedding.
    """
    return peak_flops / (2 * matrix_elements)


def matrix_elements(architecture: Mapping[str, int]) -> int:
    """Count the elements of all layers' projections, from a build record's architecture."""
    width, inner = architecture["hidden_size"], architecture["intermediate_size"]
    heads, kv_heads, dim = architecture["heads"], architecture["kv_heads"], architecture["head_dim"]
    return architecture["layers"] * (2 * width * dim * (heads + kv_heads) + 3 * width * inner)


def uniform_questions(count: int, pair_tokens: int, request_tokens: int, tokenizer: Tokenizer) -> list[Question]:
    """Return `count` questions of pairs with exactly `pair_tokens` tokens, at most 16 and `request_tokens` in all."""
    query = "what is this about?"

    def tokens(words: int) -> int:
        return len(tokenizer.encode(pair_text(query, " word" * words)).ids)

    words = pair_tokens - tokens(1) + 1  # one token per further word, unless the tokenizer merges them
    while tokens(words) > pair_tokens:
        words -= 1
    passages = max(1, min(16, request_tokens // pair_tokens))
    return [Question(query, [" word" * words] * passages) for _ in range(count)]


def with_ceiling(rows: Sequence[Row], ceiling: float | None) -> list[Row]:
    """Add the share of the ceiling in tokens/s, where one is known."""
    if ceiling is None:
        return list(rows)
    return [{**row, "of ceiling %": round(100 * float(row["tokens/s"]) / ceiling, 1)} for row in rows]


def cpu_peers(checkpoint: Checkpoint, repository: Path, record: BuildRecord, work: Path) -> Peers:
    """Return ONNX Runtime in place of the engines, fp32."""
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
    """Return the published plan, and an engine of padded pairs that is built here. Raises EngineError.

    The padded engine of an fp8 plan is fp16.
    """
    trt = tensorrt_module()
    plan = repository / "ranker" / "1" / target.plan_file
    precision: EnginePrecision = "bf16" if read_engine_record(plan).precision == "bf16" else "fp16"
    limit = record.max_pair_tokens
    graph = tensorrt_graph(checkpoint.architecture, checkpoint.weight, precision, limit, padded=True)
    ir.save(graph, work / "padded.onnx", external_data="padded.onnx.data")
    padded_tokens = max(target.batch.tokens, limit)
    progress = Progress()
    messages = BuildMessages(progress.step)
    engine = padded_engine(trt, work / "padded.onnx", padded_tokens, messages, sm=None, progress=progress.detail)
    packed, padded = EngineRanker(trt, plan.read_bytes(), target), PaddedRanker(trt, bytes(engine), padded_tokens)
    return Peers(
        packed=lambda requests: np.concatenate(packed.logits([pack(pairs) for pairs in requests])),
        padded=padded.logits,
        max_padded_tokens=padded_tokens,
    )


def first_requests(requests: Sequence[PackedPairs], most_tokens: int) -> list[Pairs]:
    """Return the token ids of as many requests as `most_tokens` allow, at least one."""
    ends = np.cumsum([request.input_ids.size for request in requests])
    count = max(1, int(np.searchsorted(ends, most_tokens, side="right")))
    return [[pair.tolist() for pair in pairs_of(request)] for request in requests[:count]]


def compare_peers(
    options: argparse.Namespace, workloads: dict[str, list[Question]], ceiling: float | None, progress: Progress
) -> Tables:
    """Score each workload packed, padded and with Hugging Face. Raises BenchmarkError or EngineError."""
    repository: Path = options.repository
    record = read_build_record(repository / "ranker" / "1")
    checkpoint, target = published_checkpoint(record), TARGETS.get(options.config)
    tokenizer = published_tokenizer(repository)
    with tempfile.TemporaryDirectory(prefix="packrank-padded-") as work:
        if target is None:
            peers = cpu_peers(checkpoint, repository, record, Path(work))
        else:
            peers = gpu_peers(target, checkpoint, repository, record, Path(work))
        compared = {}
        for name, questions in workloads.items():
            progress.step(f"packed, padded and Hugging Face: {name}")
            packed = packed_requests(tokenizer, questions, record.max_pair_tokens)
            directory = None if options.no_huggingface else checkpoint.directory
            compared[name] = with_ceiling(
                compare(first_requests(packed, options.peer_tokens), peers, directory), ceiling
            )
    return compared


def write_report(config: str, heading: str, served: Tables, compared: Tables) -> None:
    """Write the report, its plots and the served rows as CSV."""
    from benchmarks.plots import line_plot  # noqa: PLC0415 - slow to import

    name = f"check-gpu-{config}"
    write_csv(name, [{"workload": workload, **row} for workload, rows in served.items() for row in rows])
    for column, log_y in (("tokens/s", False), ("p95 ms", True)):
        line_plot(
            result_file(f"{name}-{column[:3]}.svg"),
            {
                workload: [(float(row["concurrency"]), float(row[column])) for row in rows]
                for workload, rows in served.items()
            },
            title="Served",
            x="concurrency",
            y=column,
            log_x=True,
            log_y=log_y,
        )
    parts = [heading, f"![tokens/s]({name}-tok.svg)", f"![p95 ms]({name}-p95.svg)"]
    for workload, rows in served.items():
        parts += [f"## Served: {workload}", markdown_table(rows, [c for c in COLUMNS if c in rows[0]])]
    parts.append(
        "The same pairs in one process, without a server, median of three runs. Sorting all pairs by length first is "
        "the best that padding can do."
    )
    for workload, rows in compared.items():
        parts += [f"## Packed against padded: {workload}", markdown_table(rows)]
    write_markdown(name, *parts)


def main() -> int:
    """Run the command line of `make check-gpu`."""
    parser = argparse.ArgumentParser(prog="make check-gpu", description=__doc__)
    parser.add_argument("perf_analyzer", type=Path, help="the binary")
    parser.add_argument("--config", required=True, help="target of an engine, or cpu or onnx")
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp8"), help="of the engine; default: the published")
    parser.add_argument("--no-build", action="store_true", help="measure the engine that is already published")
    parser.add_argument("--requests", type=int, default=256, help="requests of each workload at each concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--pair-tokens", type=int, nargs="+", default=[64, 256, 1024, 4096, 8192])
    parser.add_argument("--peer-tokens", type=int, default=65536, help="most tokens of a workload that peers score")
    parser.add_argument("--no-huggingface", action="store_true", help="leave out the peer that needs torch")
    options = parser.parse_args()
    if not options.no_huggingface and not TORCH_PYTHON.is_file():
        parser.error(f"{TORCH_PYTHON} is missing: run `make check-gpu`, which installs it, or pass --no-huggingface.")
    return exit_code("make check-gpu", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Build, serve, measure, compare and write the report."""
    build_engine(options.config, options.repository, options.precision, no_build=options.no_build)
    progress = Progress()
    record = read_build_record(options.repository / "ranker" / "1")
    tokenizer = published_tokenizer(options.repository)
    workloads = {
        f"pairs of {length} tokens": uniform_questions(options.requests, length, REQUEST_TOKENS, tokenizer)
        for length in options.pair_tokens
        if length <= record.max_pair_tokens
    } | {"mixed lengths": mixed_questions(options.requests)}
    target, ceiling = TARGETS.get(options.config), None
    if target is not None:
        ceiling = ceiling_tokens_per_s(target.peak_fp16_flops, matrix_elements(record.architecture))
    concurrencies = [c for c in options.concurrency if c <= options.requests]
    served: Tables = {}
    log = log_file("tritonserver-check-gpu")
    with TritonServer(options.repository, config_name=options.config, ports=free_ports(), log=log) as server:
        for name, questions in workloads.items():
            progress.step(name)
            rows = sweep(options.perf_analyzer, server.grpc_endpoint, questions, concurrencies, progress)
            served[name] = with_ceiling(rows, ceiling)
    # the server's engine has left the GPU's memory
    compared = compare_peers(options, workloads, ceiling, progress)
    write_report(options.config, _heading(options.config, options.repository, ceiling), served, compared)


def _heading(config: str, repository: Path, ceiling: float | None) -> str:
    record = read_build_record(repository / "ranker" / "1")
    gpus = ", ".join(sorted({gpu.name for gpu in installed_gpus()})) or "none"
    lines = [
        f"machine: {machine()}; GPUs: {gpus}",
        f"model: {record.source}, pairs of up to {record.max_pair_tokens} tokens",
    ]
    plan = configured_plan(repository, config)
    if plan:
        engine = read_engine_record(plan[1])
        lines += [
            f"engine: {engine.precision}, TensorRT {engine.tensorrt}, built on {engine.gpu}",
            f"parity on the GPU: {engine.parity}",
        ]
    if ceiling:
        lines.append(f"ceiling: {ceiling:,.0f} tokens/s, the card's dense fp16 peak on the projections alone")
    return f"# The ensemble with the config {config}\n\n" + "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
