"""`make model`: checkpoint -> packed ONNX graph -> parity gate -> model repository."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.build_record import FORMAT, BuildRecord
from packrank_backend.ranker.cpu_ranker import MODEL_FILE
from packrank_backend.ranker.openvino_graph import why_not_bf16
from packrank_backend.text.prompt import PROMPT
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.hub import checkpoint_directory
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.attention import OPSETS, AttentionForm
from packrank_build.graph.export import export_graph, save_graph
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.parity import ParityError, ParityReport, check_parity, parity_reference
from packrank_build.model_versions import ensemble_name, write_version
from packrank_build.peak_memory import peak_memory_gb
from packrank_build.precision.choose import candidates, choose, labelled_requests, measure
from packrank_build.progress import Progress
from packrank_build.publish import publish, staging_directory
from packrank_build.quantize.hadamard import RotatedWeights
from packrank_build.quantize.int8 import calibration_pairs, int8_graph, int8_weights

MODEL_LIMIT_TOKENS = 8192  # model card: "up to 8192 tokens"

ModelPrecision = Literal["fp32", "fp16", "bf16", "int8"]
# bf16 runs on OpenVINO, which does not know the lengths of Attention.
_ATTENTION: dict[str, AttentionForm] = {"bf16": "row_mask"}


def make_model(
    model: str,
    repository: Path,
    *,
    revision: str | None = None,
    precision: ModelPrecision | Literal["auto"] = "fp32",
    max_pair_tokens: int = 2048,
    version: int = 1,
    progress: Progress | None = None,
) -> ParityReport:
    """Build a model and publish it into `repository` if, and only if, it passes the parity gate.

    `model` is a checkpoint directory or a hub id. `precision` "auto" builds what this processor is good at and
    publishes the fastest that keeps fp32's order (precision/choose.py). `max_pair_tokens` is the longest pair that can
    be served: at most 8192, and at most the checkpoint's own limit. `version` is Triton's. Versions other than 1 are
    served beside it, as the ensemble `reranker_v<version>`. Raises UnsupportedCheckpoint or ParityError; the repository
    is then as it was.
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
    builds = _Builds(model, commit or digest, directory, checkpoint, tokenizer, digest, max_pair_tokens, progress)
    with staging_directory(repository) as staging:
        if precision == "auto":
            chosen = _fastest(builds, staging)
        else:
            _require_disk(staging, checkpoint, [precision])
            chosen = builds.build(precision, staging)
        publish(chosen.directory, repository, str(version))
    if version != 1:
        write_version(repository, version)
    progress.step(chosen.report.sentence())
    progress.step(f"published build {chosen.record.build_id} into {repository} as {ensemble_name(version)}")
    return chosen.report


@dataclass(frozen=True)
class _Build:
    """A build that passed the parity gate: its files lie in `directory`, ready to be published."""

    directory: Path
    record: BuildRecord
    report: ParityReport


@dataclass(frozen=True)
class _Builds:
    """Makes builds of one checkpoint in several precisions."""

    source: str
    revision: str
    checkpoint_directory: Path
    checkpoint: Checkpoint
    tokenizer: Tokenizer
    checkpoint_sha256: str
    max_pair_tokens: int
    progress: Progress

    def build(self, precision: ModelPrecision, directory: Path, expected: NDArray[np.float32] | None = None) -> _Build:
        """Write one build and hold it to the parity gate; `expected` is check_parity's."""
        path = directory / "model.onnx"
        graph = _graph(self.checkpoint, self.tokenizer, precision, self.max_pair_tokens, self.progress)
        save_graph(graph, path, self.progress)
        self.progress.step(f"exported; peak memory so far {peak_memory_gb():.2f} GB")
        self.tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
        record = self._record(precision, directory)
        emulated = precision == "bf16" and why_not_bf16() is not None
        if emulated:
            self.progress.step(f"{why_not_bf16()}: checking the same graph in fp32 arithmetic rounded to bf16")
            path = directory / "emulated.onnx"
            export_graph(self.checkpoint, "bf16", self.max_pair_tokens, path, self.progress, emulate=True)
        report = check_parity(
            self.checkpoint, self.tokenizer, path, record, self.progress, expected=expected, emulated=emulated
        )
        report.write(directory / "parity.json")
        record.write(directory)
        return _Build(directory, record, report)

    def _record(self, precision: ModelPrecision, directory: Path) -> BuildRecord:
        config = json.loads((self.checkpoint_directory / "config.json").read_text(encoding="utf-8"))
        packages = ["packrank", "onnx-ir", "onnxruntime", "numpy"]
        if precision == "bf16" and why_not_bf16() is None:
            packages.append("openvino")
        return BuildRecord(
            build_id=build_id(self.checkpoint_sha256, precision, self.max_pair_tokens),
            source=self.source,
            revision=self.revision,
            architecture=asdict(self.checkpoint.architecture),
            precision=precision,
            opset=OPSETS[_ATTENTION.get(precision, "lengths")],
            prompt=PROMPT,
            max_pair_tokens=self.max_pair_tokens,
            notice=config.get("packrank_notice", ""),
            versions={name: importlib.metadata.version(name) for name in packages},
            files={path.name: _sha256(path) for path in sorted(directory.iterdir())},
        )


def _fastest(builds: _Builds, staging: Path) -> _Build:
    """Build every candidate of this processor, measure all, print the table, return the build to publish."""
    precisions, skipped = candidates()
    _require_disk(staging, builds.checkpoint, precisions)
    progress, limit = builds.progress, builds.max_pair_tokens
    expected = parity_reference(builds.checkpoint, builds.tokenizer, limit, progress)
    done: dict[str, _Build] = {}
    for precision in precisions:
        directory = staging / precision
        directory.mkdir()
        try:
            done[precision] = builds.build(precision, directory, expected)
        except ParityError as error:
            if precision == "fp32":
                raise
            skipped[precision] = f"failed the parity gate: {error}"
    chosen = "fp32"
    if len(done) == 1:
        print("fp32 is the only precision to choose from here:")
        print("\n".join(f"- {precision}: {reason}" for precision, reason in skipped.items()), flush=True)
    else:
        requests, answers = labelled_requests(builds.tokenizer, limit)
        for part in (slice(None, None, 4), slice(None)):  # all of them only where a fourth leaves doubt
            measured = [
                measure(one.directory / MODEL_FILE, one.record, requests[part], progress) for one in done.values()
            ]
            choice = choose(measured, answers[part], skipped)
            if choice.is_certain or len(requests[part]) == len(requests):
                break
            progress.step(f"a fourth of the pairs leaves doubt, so all decide:\n{choice.table()}")
        chosen = choice.precision
        print(choice.table(), flush=True)
    return done[chosen]


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
        attention = _ATTENTION.get(precision, "lengths")
        return packed_graph(architecture, checkpoint.weight, precision, max_pair_tokens, attention=attention)
    pairs = calibration_pairs(tokenizer, max_pair_tokens)
    progress.step(f"rounding the projections to int8, calibrated on {sum(map(len, pairs))} tokens")
    weights = int8_weights(checkpoint, pairs, progress.detail)
    progress.step("writing the packed graph in int8")
    rotated = RotatedWeights(architecture, checkpoint.weight)
    return int8_graph(packed_graph(architecture, rotated.weight, "fp32", max_pair_tokens), weights)


def _require_disk(staging: Path, checkpoint: Checkpoint, precisions: Sequence[ModelPrecision]) -> None:
    elements = sum(_product(shape) for shape in checkpoint.architecture.weight_shapes().values())
    # bf16 may have to be emulated: a second copy
    bytes_of = {"fp32": 4, "bf16": 4}
    needed = elements * sum(bytes_of.get(precision, 2) for precision in precisions) + (100 << 20)
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
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16", "bf16", "int8"), default="fp32")
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
