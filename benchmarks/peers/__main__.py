"""`make bench-peers` step by step: `prepare`, `tune` and `measure` for each mix, `report`.

Everything lies under .cache/peers. A tuned candidate is not tried again and measured rounds add up, unless --anew is
given, so each step can be interrupted and asked for again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.cpu_precisions import projection_weights
from benchmarks.gemm_peak import gemm_peak_gops
from benchmarks.machine import machine
from benchmarks.peers.agreement import correlation
from benchmarks.peers.checkpoint import write_peer_checkpoint
from benchmarks.peers.contestants import (
    CACHE,
    CONTESTANTS,
    ENVIRONMENTS,
    PEER_CHECKPOINT,
    Contestant,
    Precision,
    Settings,
    openvino_graphs,
    repository,
)
from benchmarks.peers.mixes import MIXES, Mix, questions_of, token_count
from benchmarks.peers.records import MixRecords, Round, Trial, best_settings
from benchmarks.peers.report import write_report
from benchmarks.peers.running import ROOT, ContestantFailed, Running, Scored
from packrank_backend.build_record import StaleBuild
from packrank_backend.pairs import Question
from packrank_build.batching.compile import compile_batching_strategy
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint, architecture_from_config
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.export import export_graph
from packrank_build.graph.parity import ParityError
from packrank_build.make_model import make_model
from packrank_build.progress import Progress
from packrank_build.quantize.int8 import calibration_pairs
from packrank_client import RerankError
from packrank_server.tritonserver import ServerStartError

OURS: tuple[Precision, ...] = ("fp32", "int8")
REFERENCE = "huggingface-fp32"
CPUINFO = Path("/proc/cpuinfo")


class Benchmark:
    """One mix: its questions, and what has been recorded about it."""

    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.records = MixRecords(CACHE / mix.name)
        tokenizer = Tokenizer.from_file(str(PEER_CHECKPOINT / "tokenizer.json"))
        self.questions = questions_of(mix, tokenizer)
        self.tokens = token_count(self.questions, tokenizer)
        self.architecture = asdict(architecture_from_config(PEER_CHECKPOINT))
        self._progress = Progress()

    def tune(self, names: Sequence[str]) -> None:
        """Try every candidate that has not been tried."""
        for contestant in self._able(names):
            candidates = contestant.candidates(self.mix)
            tried = [t.settings for t in self.records.trials() if t.contestant == contestant.name]
            for settings in candidates:
                if settings in tried or len(candidates) == 1:
                    continue
                with contestant.running(settings, self.mix) as running:
                    warm_up(running, self.questions)
                    scored = running.score(self.questions)
                rate = self.tokens / scored.seconds
                self._progress.step(f"{self.mix.name}: {contestant.name} {settings}: {rate:.0f} tokens/s")
                self.records.add_trial(Trial(contestant.name, settings, rate))

    def measure(self, names: Sequence[str], rounds: int) -> None:
        """All contestants at once in memory, one at a time at work."""
        with ExitStack() as stack:
            ready: dict[str, tuple[Settings, Running]] = {}
            for contestant in self._able([*names, *([] if REFERENCE in names else [REFERENCE])]):
                settings = self._settings(contestant)
                if settings is not None:
                    self._progress.step(f"{self.mix.name}: starting {contestant.name} {settings}")
                    ready[contestant.name] = settings, stack.enter_context(contestant.running(settings, self.mix))
            if REFERENCE not in ready:
                raise ContestantFailed(f"{REFERENCE}, whose logits judge all others, is not tuned: `tune` it first.")
            for _, running in ready.values():
                warm_up(running, self.questions)
            for number in range(rounds):
                self.records.add_round(self._round(ready, first=number))

    def _round(self, ready: dict[str, tuple[Settings, Running]], first: int) -> Round:
        hidden, intermediate = (int(self.architecture[name]) for name in ("hidden_size", "intermediate_size"))
        used = {CONTESTANTS[name].precision for name in ready}
        peaks: dict[str, float] = {p: gemm_peak_gops(p, hidden, intermediate) for p in used if p != "bf16"}
        if "bf16" in used:
            peaks["bf16"] = bf16_gemm_peak_gops(hidden, intermediate)
        names = list(ready)
        scored: dict[str, Scored] = {}
        for name in names[first % len(names) :] + names[: first % len(names)]:
            scored[name] = ready[name][1].score(self.questions)
            rate = self.tokens / scored[name].seconds
            self._progress.step(f"{self.mix.name}, round {first + 1}: {name}: {rate:.0f} tokens/s")
        expected = scored[REFERENCE].logits
        agreement: dict[str, float] = {}
        for name, each in list(scored.items()):
            try:
                agreement[name] = correlation(name, expected, each.logits)
            except ContestantFailed as error:
                self._progress.step(f"{self.mix.name}: {name} is left out: {error}")
                del scored[name]
        return Round(
            machine=machine(),
            tokens=self.tokens,
            pairs=self.mix.pairs,
            operations_per_token=2 * projection_weights(self.architecture),
            peaks_gops=peaks,
            settings={name: ready[name][0] for name in scored},
            seconds={name: each.seconds for name, each in scored.items()},
            correlation=agreement,
        )

    def _able(self, names: Sequence[str]) -> Iterator[Contestant]:
        for contestant in (CONTESTANTS[name] for name in names):
            obstacle = contestant.obstacle(CPUINFO.read_text(encoding="utf-8"))
            if obstacle:
                self._progress.step(f"{contestant.name} is left out: {obstacle}")
            else:
                yield contestant

    def _settings(self, contestant: Contestant) -> Settings | None:
        candidates = contestant.candidates(self.mix)
        return candidates[0] if len(candidates) == 1 else best_settings(self.records.trials(), contestant.name)


def warm_up(running: Running, questions: Sequence[Question]) -> None:
    """One question: threads, memory and compiled kernels are there afterwards."""
    running.score(questions[:1])


def bf16_gemm_peak_gops(inputs: int, outputs: int) -> float:
    """As gemm_peak_gops, in torch: ONNX Runtime has no bf16 on a CPU."""
    python = ROOT / ENVIRONMENTS["cross_encoder"] / "bin" / "python"
    command = [str(python), "-m", "benchmarks.peers.workers.bf16_gemm_peak", str(inputs), str(outputs)]
    return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)


def prepare(checkpoint: Path, mixes: Sequence[Mix]) -> None:
    """Build packrank's repositories for the mixes, its graph for OpenVINO, and the peers' checkpoint."""
    write_peer_checkpoint(checkpoint, PEER_CHECKPOINT)
    limits = sorted({mix.max_pair_tokens for mix in mixes})
    for max_pair_tokens in limits:
        prepare_openvino(checkpoint, max_pair_tokens)
    for precision, max_pair_tokens in product(OURS, limits):
        directory = repository(precision, max_pair_tokens)
        shutil.rmtree(directory, ignore_errors=True)
        built = shutil.ignore_patterns("*.onnx*", "*.json", "*.plan", "*.so", "__pycache__", ".staging-*")
        shutil.copytree(ROOT / "model_repository", directory, ignore=built)
        compile_batching_strategy(directory / "ranker" / "1")
        make_model(
            str(checkpoint), directory, precision=precision, max_pair_tokens=max_pair_tokens, progress=Progress()
        )


def prepare_openvino(directory: Path, max_pair_tokens: int) -> None:
    """The packed graph in the form that OpenVINO reads (as TensorRT does), and the same quantised by NNCF."""
    graphs, progress = openvino_graphs(max_pair_tokens), Progress()
    graphs.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(directory)
    tokenizer = tokenizer_from_checkpoint(directory, checkpoint.architecture)
    tokenizer.save(str(graphs / "tokenizer.json"))
    progress.step("writing the packed graph for OpenVINO")
    export_graph(checkpoint, "fp32", max_pair_tokens, graphs / "model.onnx", progress, attention="row_mask")
    pairs = [pair.tolist() for pair in calibration_pairs(tokenizer, max_pair_tokens)]
    (graphs / "calibration.json").write_text(json.dumps(pairs), encoding="utf-8")
    progress.step("quantising it by NNCF")
    python = str(ROOT / ENVIRONMENTS["openvino"] / "bin" / "python")
    command = [python, "-m", "benchmarks.peers.workers.openvino_packed", str(graphs), "--precision", "int8"]
    subprocess.run([*command, "--quantise"], cwd=ROOT, check=True)


def main() -> int:
    """Command line of `make bench-peers`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    preparing = steps.add_parser("prepare", help="build packrank's repositories and the peers' checkpoint")
    preparing.add_argument("checkpoint", type=Path)
    preparing.add_argument("--mix", choices=MIXES, nargs="+", default=list(MIXES))
    for name, what in (("tune", "find each contestant's best settings"), ("measure", "measure with the best settings")):
        step = steps.add_parser(name, help=what)
        step.add_argument("--mix", choices=MIXES, nargs="+", default=list(MIXES))
        step.add_argument("--only", choices=CONTESTANTS, nargs="+", default=list(CONTESTANTS), metavar="CONTESTANT")
        step.add_argument("--anew", action="store_true", help="forget what was recorded before")
        if name == "measure":
            step.add_argument("--rounds", type=int, default=1)
    steps.add_parser("report", help="write benchmarks/results/peers.md, .csv and .svg")
    options = parser.parse_args()
    # so that the contestants are stopped, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.step == "prepare":
            prepare(options.checkpoint, [MIXES[name] for name in options.mix])
        elif options.step == "report":
            return _report()
        else:
            for mix in options.mix:
                benchmark = Benchmark(MIXES[mix])
                if options.step == "tune":
                    for name in options.only if options.anew else ():
                        benchmark.records.forget_trials(name)
                    benchmark.tune(options.only)
                else:
                    if options.anew:
                        benchmark.records.forget_rounds()
                    benchmark.measure(options.only, options.rounds)
    except (ContestantFailed, ServerStartError, StaleBuild, RerankError, UnsupportedCheckpoint, ParityError) as error:
        print(f"benchmarks.peers {options.step}: {error}", file=sys.stderr)
        return 1
    return 0


def _report() -> int:
    rounds = {name: MixRecords(CACHE / name).rounds() for name in MIXES}
    measured = {name: of_mix for name, of_mix in rounds.items() if of_mix}
    if not measured:
        print("benchmarks.peers report: nothing has been measured: run `measure` first.", file=sys.stderr)
        return 1
    write_report(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
