"""`make bench-peers`: packrank against other servers and libraries, on the same weights and pairs.

`prepare` builds what the contestants load, under .cache/peers. `measure` tries each contestant's settings once and
keeps the best. Then every round runs each contestant once, so that its ratios belong to the same minutes. It writes
benchmarks/results/peers-<mix>.md and .csv.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.peers.checkpoint import write_peer_checkpoint
from benchmarks.peers.contestants import (
    CONTESTANTS,
    PEER_CHECKPOINT,
    Contestant,
    Precision,
    Settings,
    openvino_graphs,
    repository,
)
from benchmarks.peers.gemm_peak import gemm_peak_gops
from benchmarks.peers.mixes import MIXES, Mix, questions_of
from benchmarks.peers.report import Round, write_report
from benchmarks.peers.running import Score, Scored, correlation
from benchmarks.processes import ROOT
from benchmarks.workload import token_count
from packrank_backend.text.question import Question
from packrank_build.batching.compile import compile_batching_strategy
from packrank_build.checkpoint.architecture import architecture_from_config
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.export import export_graph
from packrank_build.make_model import make_model
from packrank_build.progress import Progress
from packrank_build.quantize.int8 import calibration_pairs

OURS: tuple[Precision, ...] = ("fp32", "int8")
REFERENCE = "huggingface-fp32"  # its logits judge all others
BUILT = shutil.ignore_patterns("*.onnx*", "*.json", "*.plan", "*.so", "__pycache__", ".staging-*")


def prepare(checkpoint: Path, mixes: Sequence[Mix]) -> None:
    """Write the peers' checkpoint, packrank's repositories for the mixes, and its graph for OpenVINO."""
    write_peer_checkpoint(checkpoint, PEER_CHECKPOINT)
    limits = sorted({mix.max_pair_tokens for mix in mixes})
    for limit in limits:
        prepare_openvino(checkpoint, limit)
    for precision, limit in product(OURS, limits):
        directory = repository(precision, limit)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(ROOT / "model_repository", directory, ignore=BUILT)
        compile_batching_strategy(directory / "ranker" / "1")
        make_model(str(checkpoint), directory, precision=precision, max_pair_tokens=limit, progress=Progress())


def prepare_openvino(directory: Path, max_pair_tokens: int) -> None:
    """Write the packed graph with the attention that OpenVINO reads, as TensorRT does, and NNCF's int8 of it."""
    python = CONTESTANTS["openvino-fp32"].python
    if not python.exists():
        return
    graphs, progress, checkpoint = openvino_graphs(max_pair_tokens), Progress(), Checkpoint(directory)
    graphs.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_from_checkpoint(directory, checkpoint.architecture)
    tokenizer.save(str(graphs / "tokenizer.json"))
    progress.step("writing the packed graph for OpenVINO")
    export_graph(checkpoint, "fp32", max_pair_tokens, graphs / "model.onnx", progress, attention="row_mask")
    pairs = [pair.tolist() for pair in calibration_pairs(tokenizer, max_pair_tokens)]
    (graphs / "calibration.json").write_text(json.dumps(pairs), encoding="utf-8")
    progress.step("quantising it with NNCF")
    subprocess.run([str(python), "-m", "benchmarks.peers.worker", "quantize", str(graphs)], cwd=ROOT, check=True)


def able(names: Sequence[str], mix: Mix, progress: Progress) -> list[Contestant]:
    """Return the named contestants that can take part, and name the others' obstacles."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = []
    for contestant in (CONTESTANTS[name] for name in names):
        obstacle = contestant.obstacle(cpuinfo)
        if obstacle:
            progress.step(f"{contestant.name} is left out: {obstacle}")
        elif contestant.candidates(mix):
            found.append(contestant)
    return found


def best_settings(
    contestant: Contestant, mix: Mix, questions: Sequence[Question], tokens: int, progress: Progress
) -> Settings:
    """Score the mix once with each candidate; return the fastest."""
    candidates = contestant.candidates(mix)
    if len(candidates) == 1:
        return candidates[0]
    seconds = []
    for settings in candidates:
        with contestant.running(settings, mix) as score:
            score(questions[:1])  # threads, memory and compiled kernels exist afterwards
            seconds.append(score(questions).seconds)
        progress.step(f"{mix.name}: {contestant.name} {settings}: {tokens / seconds[-1]:.0f} tokens/s")
    return candidates[seconds.index(min(seconds))]


def measure(mix: Mix, names: Sequence[str], rounds: int) -> None:
    """Tune every contestant, then hold all in memory and run one at a time. Raises BenchmarkError."""
    progress = Progress()
    tokenizer = Tokenizer.from_file(str(PEER_CHECKPOINT / "tokenizer.json"))
    questions = questions_of(mix, tokenizer)
    tokens = token_count(questions, tokenizer)
    contestants = able([*names, *([] if REFERENCE in names else [REFERENCE])], mix, progress)
    if REFERENCE not in [contestant.name for contestant in contestants]:
        raise BenchmarkError(f"{REFERENCE} must take part, because its logits judge all others: install it.")
    settings = {c.name: best_settings(c, mix, questions, tokens, progress) for c in contestants}
    measured = []
    with ExitStack() as stack:
        ready: dict[str, Score] = {}
        for contestant in contestants:
            progress.step(f"{mix.name}: starting {contestant.name} {settings[contestant.name]}")
            ready[contestant.name] = stack.enter_context(contestant.running(settings[contestant.name], mix))
            ready[contestant.name](questions[:1])
        for number in range(rounds):
            progress.step(f"{mix.name}: round {number + 1}")
            measured.append(one_round(ready, questions, tokens, number, progress))
    write_report(mix, measured, settings)


def one_round(
    ready: dict[str, Score], questions: Sequence[Question], tokens: int, first: int, progress: Progress
) -> Round:
    """Run each contestant once, starting with another one in each round; leave out those that compute another model."""
    names = list(ready)
    start = first % len(names)
    scored: dict[str, Scored] = {name: ready[name](questions) for name in names[start:] + names[:start]}
    expected = scored[REFERENCE].logits
    agreement: dict[str, float] = {}
    for name, each in scored.items():
        try:
            agreement[name] = correlation(name, expected, each.logits)
        except BenchmarkError as error:
            progress.step(f"left out: {error}")
    architecture = architecture_from_config(PEER_CHECKPOINT)
    width, inner = architecture.hidden_size, architecture.intermediate_size
    weights = [shape for name, shape in architecture.weight_shapes().items() if "_proj" in name]
    return Round(
        tokens=tokens,
        operations_per_token=2 * sum(shape[0] * shape[1] for shape in weights),
        peaks_gops={precision: gemm_peak_gops(precision, width, inner) for precision in OURS},
        seconds={name: scored[name].seconds for name in agreement},
        correlation=agreement,
    )


def main() -> int:
    """Run the command line of `make bench-peers`."""
    mixes_option = argparse.ArgumentParser(add_help=False)
    mixes_option.add_argument("--mix", choices=MIXES, nargs="+", default=list(MIXES))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    preparing = steps.add_parser("prepare", parents=[mixes_option], help="build what the contestants load")
    preparing.add_argument("checkpoint", type=Path)
    measuring = steps.add_parser("measure", parents=[mixes_option], help="tune, measure and report")
    measuring.add_argument("--only", choices=CONTESTANTS, nargs="+", default=list(CONTESTANTS), metavar="CONTESTANT")
    measuring.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # raises SystemExit, so that the contestants are stopped, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    mixes = [MIXES[name] for name in options.mix]

    def run() -> None:
        if options.step == "prepare":
            prepare(options.checkpoint, mixes)
            return
        for mix in mixes:
            measure(mix, options.only, options.rounds)

    return exit_code(f"benchmarks.peers {options.step}", run)


if __name__ == "__main__":
    sys.exit(main())
