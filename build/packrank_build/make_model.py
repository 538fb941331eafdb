"""`make model`: checkpoint -> packed ONNX graph -> parity gate -> model repository."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import onnx_ir as ir
from tokenizers import Tokenizer

from packrank_backend.build_record import FORMAT, BuildRecord
from packrank_backend.prompt import PROMPT
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.hub import checkpoint_directory
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.attention import OPSETS
from packrank_build.graph.export import export_graph, save_graph
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.parity import ParityError, ParityReport, check_parity
from packrank_build.model_versions import ensemble_name, write_version
from packrank_build.peak_memory import peak_memory_gb
from packrank_build.progress import Progress
from packrank_build.publish import publish, staging_directory
from packrank_build.quantize.hadamard import RotatedWeights
from packrank_build.quantize.int8 import calibration_pairs, int8_graph, int8_weights

MODEL_LIMIT_TOKENS = 8192  # model card: "up to 8192 tokens"

ModelPrecision = Literal["fp32", "fp16", "bf16", "int8"]


def make_model(
    model: str,
    repository: Path,
    *,
    revision: str | None = None,
    precision: ModelPrecision = "fp32",
    max_pair_tokens: int = 2048,
    version: int = 1,
    progress: Progress | None = None,
) -> ParityReport:
    """Build a model and publish it into `repository` if, and only if, it passes the parity gate.

    `model` is a checkpoint directory or a hub id. `max_pair_tokens` is the longest pair that can be served: at most
    8192, and at most the checkpoint's own limit. `version` is Triton's. Versions other than 1 are served beside it, as
    the ensemble `reranker_v<version>`. Raises UnsupportedCheckpoint or ParityError; the repository is then as it was.
    """
    progress = progress or Progress()
    directory, commit = checkpoint_directory(model, revision)
    progress.step(f"reading {directory}")
    checkpoint = Checkpoint(directory)
    limit = min(MODEL_LIMIT_TOKENS, checkpoint.architecture.max_positions)
    if not 0 < max_pair_tokens <= limit:
        raise UnsupportedCheckpoint(f"MAX_PAIR_TOKENS is {max_pair_tokens}; this checkpoint allows 1 to {limit}.")
    tokenizer = tokenizer_from_checkpoint(directory, checkpoint.architecture)
    digest = checkpoint.sha256(progress.detail)
    with staging_directory(repository) as staging:
        _require_disk(staging, checkpoint, precision)
        save_graph(
            _graph(checkpoint, tokenizer, precision, max_pair_tokens, progress), staging / "model.onnx", progress
        )
        progress.step(f"exported; peak memory so far {peak_memory_gb():.2f} GB")
        tokenizer.save(str(staging / "tokenizer.json"), pretty=False)
        record = BuildRecord(
            build_id=build_id(digest, precision, max_pair_tokens),
            source=model,
            revision=commit or digest,
            architecture=asdict(checkpoint.architecture),
            precision=precision,
            opset=OPSETS["lengths"],
            prompt=PROMPT,
            max_pair_tokens=max_pair_tokens,
            notice=json.loads((directory / "config.json").read_text(encoding="utf-8")).get("packrank_notice", ""),
            versions={
                name: importlib.metadata.version(name) for name in ("packrank", "onnx-ir", "onnxruntime", "numpy")
            },
            files={path.name: _sha256(path) for path in sorted(staging.iterdir())},
        )
        runnable = staging / "model.onnx"
        if precision == "bf16":
            progress.step("writing the same graph for a runtime without bf16: fp32 arithmetic rounded to bf16")
            runnable = staging / "emulated.onnx"
            export_graph(checkpoint, precision, max_pair_tokens, runnable, progress, emulate=True)
        report = check_parity(checkpoint, tokenizer, runnable, record, progress)
        report.write(staging / "parity.json")
        record.write(staging)
        publish(staging, repository, str(version))
    if version != 1:
        write_version(repository, version)
    progress.step(report.sentence())
    progress.step(f"published build {record.build_id} into {repository} as {ensemble_name(version)}")
    return report


def build_id(checkpoint_sha256: str, precision: str, max_pair_tokens: int) -> str:
    """Name a build by what it was made from."""
    return hashlib.sha256(f"{FORMAT} {checkpoint_sha256} {precision} {max_pair_tokens}".encode()).hexdigest()[:16]


def _graph(
    checkpoint: Checkpoint, tokenizer: Tokenizer, precision: ModelPrecision, max_pair_tokens: int, progress: Progress
) -> ir.Model:
    """Write the packed graph, and for int8 quantise it."""
    architecture = checkpoint.architecture
    if precision != "int8":
        progress.step(f"writing the packed graph in {precision}")
        return packed_graph(architecture, checkpoint.weight, precision, max_pair_tokens)
    pairs = calibration_pairs(tokenizer, max_pair_tokens)
    progress.step(f"rounding the projections to int8, calibrated on {sum(map(len, pairs))} tokens")
    weights = int8_weights(checkpoint, pairs, progress.detail)
    progress.step("writing the packed graph in int8")
    rotated = RotatedWeights(architecture, checkpoint.weight)
    return int8_graph(packed_graph(architecture, rotated.weight, "fp32", max_pair_tokens), weights)


def _require_disk(staging: Path, checkpoint: Checkpoint, precision: ModelPrecision) -> None:
    elements = sum(_product(shape) for shape in checkpoint.architecture.weight_shapes().values())
    copies = 2 if precision == "bf16" else 1
    needed = elements * (4 if precision == "fp32" else 2) * copies + (100 << 20)
    free = shutil.disk_usage(staging).free
    if free < needed:
        raise UnsupportedCheckpoint(
            f"the build needs {needed / 1e9:.1f} GB in {staging.parent}, but only {free / 1e9:.1f} GB are free. "
            "Free some space."
        )


def _product(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Command line of `make model`."""
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint directory or hub id")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16", "int8"), default="fp32")
    parser.add_argument("--max-pair-tokens", type=int, default=2048)
    parser.add_argument(
        "--version",
        type=int,
        choices=range(1, 10),
        default=1,
        help="Triton's model version; 2 to 9 are served beside 1, as reranker_v2",
    )
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    try:
        make_model(
            options.model,
            options.repository,
            revision=options.revision,
            precision=options.precision,
            max_pair_tokens=options.max_pair_tokens,
            version=options.version,
        )
    except (UnsupportedCheckpoint, ParityError) as error:
        print(f"make model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
