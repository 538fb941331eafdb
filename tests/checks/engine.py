"""`make check-engine`: builds the engines of every target without a GPU, with TensorRT-RTX, and checks them.

TensorRT's parser and builder must take the graph strongly typed, fuse attention in every layer and accept every
profile. They must not ignore an input or turn one into a shape tensor. Inputs and outputs must be the config's, and
scratch memory what memory.py predicts. The check does not show that an engine computes the right numbers, or how fast.

The engine is discarded. TensorRT-RTX's engines load in no Triton, so a file of one would only mislead.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.peak_memory import peak_memory_gb
from packrank_build.progress import Progress
from packrank_build.tensorrt.build import engine_from_onnx
from packrank_build.tensorrt.graph import tensorrt_graph
from packrank_build.tensorrt.log import BuildMessages, EngineError
from packrank_build.tensorrt.memory import RESERVED_BYTES, engine_bytes, fits, scratch_bytes, weight_bytes
from packrank_build.tensorrt.targets import REQUEST, TARGETS, EnginePrecision, Profile, Target
from tests.support.random_checkpoint import random_architecture, random_weight

# TensorRT-RTX 1.7 cannot build for SM90 or SM100. L40S's SM89 is the nearest; scratch memory is equal on SM80, SM86 and
# SM89.
STAND_INS = {"h100": "l40s", "h200": "l40s", "b200": "l40s"}
# TensorRT's scratch memory may differ from memory.py's prediction by this share.
SCRATCH_TOLERANCE = 0.05


@dataclass(frozen=True)
class ProfileCheck:
    """Scratch memory of one profile of one target, built alone."""

    target: Target
    built_for: str
    profile: Profile
    scratch_bytes: int
    predicted_bytes: int

    def wrong(self) -> bool:
        """Whether the prediction is off. The batch budgets rest on it."""
        return abs(self.scratch_bytes - self.predicted_bytes) > SCRATCH_TOLERANCE * self.predicted_bytes


def tensorrt_rtx() -> Any:
    """Import TensorRT-RTX's module."""
    return importlib.import_module("tensorrt_rtx_bindings")


def write_graph(architecture: Architecture, precision: EnginePrecision, path: Path) -> None:
    """Write TensorRT's form of the graph with random weights."""
    shapes = architecture.weight_shapes()
    graph = tensorrt_graph(
        architecture,
        lambda name: random_weight(name, shapes[name], 0),
        precision,
        REQUEST.max_pair_tokens,
        activation_sizes=dict.fromkeys(shapes, 16.0),
    )
    ir.save(graph, path, external_data=f"{path.name}.data", alignment=4096)


def check_target(
    trt: Any, graph: Path, architecture: Architecture, target: Target, repository: Path
) -> Iterator[ProfileCheck]:
    """Build the target's engine with all profiles, then once with each alone; yields a check per profile.

    Raises EngineError when an engine cannot be built or would not compute the graph.
    """
    buildable = dataclasses.replace(
        target, compute_capability=TARGETS[STAND_INS.get(target.name, target.name)].compute_capability
    )

    def build(profiles: Sequence[Profile]) -> BuildMessages:
        messages = BuildMessages()
        engine_from_onnx(trt, graph, architecture, buildable, repository, messages, profiles=profiles, cross_build=True)
        return messages

    build(target.profiles)
    for profile in target.profiles:
        yield ProfileCheck(
            target,
            buildable.sm,
            profile,
            build([profile]).scratch_bytes,
            scratch_bytes(architecture, profile),
        )


def check_engines(
    targets: Sequence[Target], precision: EnginePrecision, layers: int | None, repository: Path, progress: Progress
) -> list[ProfileCheck]:
    """Check every target on Llama-3.2-1B's shape, or on a slice of `layers` layers and a small vocabulary."""
    overrides = {} if layers is None else {"num_hidden_layers": layers, "vocab_size": 256}
    architecture = random_architecture("llama-3.2-1b", **overrides)
    checks = []
    with tempfile.TemporaryDirectory(prefix="packrank-check-engine-") as work:
        graph = Path(work, "model.onnx")
        progress.step(f"writing {architecture.layers} layers of Llama-3.2-1B's shape in {precision}, random weights")
        write_graph(architecture, precision, graph)
        for target in targets:
            progress.step(f"{target.name}: an engine with {len(target.profiles)} profiles, then one with each")
            for check in check_target(tensorrt_rtx(), graph, architecture, target, repository):
                progress.detail(f"{check.profile.name}: {check.scratch_bytes / 1e9:.2f} GB of scratch memory")
                checks.append(check)
    return checks


def report(checks: Sequence[ProfileCheck], precision: EnginePrecision) -> str:
    """Write Markdown: scratch memory of each profile, and memory of each target's engine at full size."""
    full = random_architecture("llama-3.2-1b")
    lines = [
        "| target | built for | profile | tokens | pairs | longest pair | scratch, GB | predicted, GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.target.name} | {c.built_for} | {c.profile.name} | {c.profile.tokens[2]:,} | {c.profile.pairs[2]:,} "
        f"| {c.profile.max_len[2]:,} | {c.scratch_bytes / 1e9:.2f} | {c.predicted_bytes / 1e9:.2f} |"
        for c in checks
    ]
    lines += ["", *memory_table(full, sorted({c.target.name for c in checks}), precision)]
    return "\n".join(lines)


def memory_table(architecture: Architecture, names: Sequence[str], precision: EnginePrecision) -> list[str]:
    """Write Markdown rows: how much of the card's memory the engine of each target takes."""
    weights = weight_bytes(architecture, precision, REQUEST.max_pair_tokens)
    rows = ["| target | memory, GB | weights, GB | scratch, GB | in all, GB | free |", "|---|---|---|---|---|---|"]
    for name in names:
        target = TARGETS[name]
        needed = engine_bytes(architecture, target, precision, REQUEST.max_pair_tokens)
        taken = needed + RESERVED_BYTES
        scratch = sum(scratch_bytes(architecture, profile) for profile in target.profiles)
        rows.append(
            f"| {name} | {target.memory_bytes / 1e9:.0f} | {weights / 1e9:.2f} | {scratch / 1e9:.2f} "
            f"| {taken / 1e9:.2f} | {1 - taken / target.memory_bytes:.0%} |"
        )
    return rows


def main() -> int:
    """Command line of `make check-engine`."""
    parser = argparse.ArgumentParser(prog="make check-engine", description=__doc__)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp8"), default="fp16")
    parser.add_argument("--layers", type=int, help="build this many layers only; default: all 16")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    targets = [TARGETS[name] for name in options.targets if options.precision in TARGETS[name].precisions]
    try:
        checks = check_engines(targets, options.precision, options.layers, options.repository, Progress())
    except EngineError as error:
        print(f"make check-engine: {error}", file=sys.stderr)
        return 1
    print(report(checks, options.precision))
    print(f"\npeak memory of this check: {peak_memory_gb():.1f} GB")
    full = random_architecture("llama-3.2-1b")
    wrong = [check for check in checks if check.wrong()]
    for check in wrong:
        print(f"make check-engine: {check.target.name}, {check.profile.name}: prediction is off", file=sys.stderr)
    unfit = [t for t in targets if not fits(t, engine_bytes(full, t, options.precision, REQUEST.max_pair_tokens))]
    for target in unfit:
        print(f"make check-engine: {target.name}: the engine leaves too little memory free", file=sys.stderr)
    return 1 if wrong or unfit else 0


if __name__ == "__main__":
    sys.exit(main())
