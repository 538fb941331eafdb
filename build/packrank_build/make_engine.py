"""`make engine`: the published model's checkpoint -> a TensorRT plan for this machine's GPU, gated and published.

It runs where the engine will be served: on the GPU, with the TensorRT of the server's image. No GPU has run this file
yet. tests/build/test_make_engine.py tests everything around the GPU, `make check-engine` the build itself.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from packrank_backend.build_record import BuildRecord, StaleBuild, read_build_record
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.hub import checkpoint_directory
from packrank_build.graph.attention import AttentionForm
from packrank_build.graph.export import save_graph
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.parity import ParityError, parity_requests
from packrank_build.make_model import build_id
from packrank_build.progress import Progress
from packrank_build.publish import staging_directory
from packrank_build.quantize.fp8 import activation_sizes, with_activation_sizes
from packrank_build.tensorrt.attention_probe import attention_form
from packrank_build.tensorrt.build import engine_from_onnx
from packrank_build.tensorrt.graph import tensorrt_graph
from packrank_build.tensorrt.inspector import check_engine_facts
from packrank_build.tensorrt.installation import (
    cuda_of,
    driver_cuda,
    driver_release,
    loaded_version,
    require_driver,
    tensorrt_module,
)
from packrank_build.tensorrt.log import BuildMessages, EngineError
from packrank_build.tensorrt.parity import Ranker, check_engine_parity, engine_questions
from packrank_build.tensorrt.runner import EngineRanker, engine_information
from packrank_build.tensorrt.targets import REQUEST, TARGETS, EnginePrecision, Target
from packrank_server.engine.engine_record import EngineRecord, record_file
from packrank_server.engine.gpu import Gpu, installed_gpus
from packrank_server.engine.tensorrt_version import server_tensorrt_version
from packrank_server.errors import ServerStartError
from packrank_server.installation import find_installation

CALIBRATION_TOKENS = 2048  # longest pair of the calibration: attention on a CPU takes time that grows with its square
TIMING_CACHES = Path(".cache/timing")


def require_gpu(target: Target, gpus: Sequence[Gpu]) -> Gpu:
    """Choose the GPU to build on. Raises EngineError when none has the target's compute capability."""
    if not gpus:
        raise EngineError(
            "no GPU here: build an engine on the GPU that will serve it (in a container: --gpus all). "
            "`make check-engine` checks the build without one."
        )
    for gpu in gpus:
        if gpu.compute_capability == target.compute_capability:
            return gpu
    present = ", ".join(f"{gpu.name} ({gpu.compute_capability})" for gpu in gpus)
    fitting = sorted(t.name for t in TARGETS.values() if t.compute_capability in {g.compute_capability for g in gpus})
    remedy = f"Use TARGET={' or TARGET='.join(fitting)}." if fitting else f"Supported are {', '.join(TARGETS)}."
    raise EngineError(
        f"TARGET={target.name} needs compute capability {target.compute_capability}, but here is {present}. {remedy}"
    )


def require_server_tensorrt(server_version: str | None) -> str:
    """Return the version of TensorRT that serves. Raises EngineError if the server has no TensorRT backend."""
    if server_version is None:
        raise EngineError(
            "the tritonserver here has no TensorRT backend, so it could not serve the engine: build it in NVIDIA's "
            "tritonserver image (docs/gpu.md)."
        )
    return server_version


def require_same_tensorrt(builder_version: str | None, server_version: str) -> None:
    """Raise EngineError unless the library that builds is the one that serves."""
    if builder_version != server_version:
        bindings = f"tensorrt-cu{cuda_of(server_version)}-bindings=={server_version}"
        raise EngineError(
            f"Python's tensorrt has loaded TensorRT {builder_version or 'of an unknown version'}, the server has "
            f"{server_version}: the plan would not load. Run "
            f"`.venv/bin/python -m pip install --no-deps {bindings}`, which uses the server's own libraries."
        )


def require_current(record: BuildRecord, checkpoint: Checkpoint, progress: Progress) -> None:
    """Raise StaleBuild when the published model was built from another state of the checkpoint."""
    found = build_id(checkpoint.sha256(progress.detail), record.precision, record.max_pair_tokens)
    if found != record.build_id:
        raise StaleBuild(
            f"{checkpoint.directory} is not what build {record.build_id} was made from: its files have changed since. "
            "Run `make model` again, then `make engine`."
        )


def make_engine(
    target: Target,
    precision: EnginePrecision,
    repository: Path,
    *,
    gpu: Gpu,
    tensorrt: str,
    build: Callable[[Path, Checkpoint], bytes],
    inspect: Callable[[bytes], str],
    ranker: Callable[[bytes], Ranker],
    attention: AttentionForm = "kv_lengths",
    model: str | None = None,
    version: str = "1",
    progress: Progress | None = None,
) -> EngineRecord:
    """Build an engine of the published model and publish it beside the model if, and only if, it passes the gate.

    `model` is the checkpoint's directory or hub id, by default the one that the published model was built from. `build`
    turns the ONNX file of a checkpoint into a plan, `inspect` asks TensorRT's engine inspector for the JSON of a plan's
    layers, and `ranker` runs a plan on the GPU. Raises StaleBuild,
    UnsupportedCheckpoint, EngineError or ParityError; the repository is then as it was.
    """
    progress = progress or Progress()
    if precision not in target.precisions:
        raise EngineError(f"PRECISION={precision}: {target.gpu} is built in {' or '.join(target.precisions)}.")
    record = read_build_record(repository / "ranker" / version)
    if record.max_pair_tokens > REQUEST.max_pair_tokens:
        raise EngineError(
            f"the model serves pairs of {record.max_pair_tokens} tokens, engines at most {REQUEST.max_pair_tokens}. "
            "Run `make model` with a smaller MAX_PAIR_TOKENS."
        )
    checkpoint = published_checkpoint(record, model)
    progress.step(f"reading {checkpoint.directory}")
    require_current(record, checkpoint, progress)
    with staging_directory(repository) as staging:
        onnx = staging / "model.onnx"
        tokenizer = Tokenizer.from_file(str(repository / "tokenizer" / version / "tokenizer.json"))
        write_graph(checkpoint, tokenizer, precision, record.max_pair_tokens, onnx, progress, attention=attention)
        progress.step(f"building {target.plan_file}; the first build on a GPU times kernels for minutes")
        plan = build(onnx, checkpoint)
        progress.step(check_engine_facts(inspect(plan), precision).sentence())
        parity = check_engine_parity(checkpoint, tokenizer, ranker(plan), precision, record.max_pair_tokens, progress)
        progress.step(parity.sentence())
        engine_record = EngineRecord(
            build_id=record.build_id,
            revision=record.revision,
            target=target.name,
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            tensorrt=tensorrt,
            precision=precision,
            max_pair_tokens=record.max_pair_tokens,
            profiles={profile.name: dict(profile.shapes()) for profile in target.profiles},
            onnx_sha256=_sha256(onnx),
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            parity=asdict(parity),
        )
        staged = staging / target.plan_file
        staged.write_bytes(plan)
        engine_record.write(staged)
        published = repository / "ranker" / version / target.plan_file
        # A plan without a record is ignored, so a machine that stops in between leaves no mixture.
        record_file(published).unlink(missing_ok=True)
        staged.replace(published)
        record_file(staged).replace(record_file(published))
    progress.step(f"published {published} ({len(plan) / 1e9:.2f} GB); serve it with --model-config-name={target.name}")
    return engine_record


def write_graph(
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    precision: EnginePrecision,
    max_pair_tokens: int,
    onnx: Path,
    progress: Progress,
    *,
    attention: AttentionForm = "kv_lengths",
) -> None:
    """Write TensorRT's form of the graph. For fp8, calibrate it first: on the parity questions with the real prompt."""
    sizes = None
    if precision == "fp8":
        progress.step("calibrating fp8: the largest activations, in fp32 on the CPU")
        requests = parity_requests(tokenizer, engine_questions(), min(max_pair_tokens, CALIBRATION_TOKENS))
        measured = onnx.with_name("calibration.onnx")
        graph = packed_graph(checkpoint.architecture, checkpoint.weight, "fp32", max_pair_tokens)
        save_graph(with_activation_sizes(graph), measured, progress)
        sizes = activation_sizes(measured, requests)
        for file in (measured, measured.with_name(f"{measured.name}.data")):
            file.unlink()
    progress.step(f"writing the packed graph in {precision}, TensorRT's form")
    graph = tensorrt_graph(
        checkpoint.architecture,
        checkpoint.weight,
        precision,
        max_pair_tokens,
        activation_sizes=sizes,
        attention=attention,
    )
    save_graph(graph, onnx, progress)


def published_checkpoint(record: BuildRecord, model: str | None = None) -> Checkpoint:
    """Open the checkpoint that a published model was built from, or `model` instead. Raises UnsupportedCheckpoint."""
    directory, _ = checkpoint_directory(model or record.source, None if model else _commit(record))
    return Checkpoint(directory)


def _commit(record: BuildRecord) -> str | None:
    """Return the hub's commit of a published model; None for a directory, whose revision is its SHA-256."""
    return record.revision if len(record.revision) == 40 else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Command line of `make engine`."""
    parser = argparse.ArgumentParser(prog="make engine", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, required=True)
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp8"), default="fp16")
    parser.add_argument("--model", help="checkpoint directory or hub id; default: the published model's")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    options = parser.parse_args()
    target, progress = TARGETS[options.target], Progress()
    try:
        gpus = installed_gpus()
        gpu = require_gpu(target, gpus)
        # CUDA, once loaded, builds on its first device. The driver lists GPUs in the order of the bus.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(gpus.index(gpu)))
        tensorrt = require_server_tensorrt(server_tensorrt_version(find_installation().binary))
        require_driver(tensorrt, driver_cuda(), driver_release())
        trt = tensorrt_module()
        require_same_tensorrt(loaded_version(), tensorrt)
        record = read_build_record(options.repository / "ranker" / "1")
        architecture = published_checkpoint(record, options.model).architecture
        progress.step("probing TensorRT's attention on this GPU")
        attention, found = attention_form(trt, architecture)
        progress.step(found)

        def build(onnx: Path, checkpoint: Checkpoint) -> bytes:
            engine = engine_from_onnx(
                trt,
                onnx,
                checkpoint.architecture,
                target,
                options.repository,
                BuildMessages(progress.step),
                timing_cache=TIMING_CACHES / f"{target.sm}-{tensorrt}.cache",
                progress=progress.detail,
            )
            return bytes(engine)

        make_engine(
            target,
            options.precision,
            options.repository,
            gpu=gpu,
            tensorrt=tensorrt,
            build=build,
            inspect=lambda plan: engine_information(trt, plan),
            ranker=lambda plan: EngineRanker(trt, plan, target),
            attention=attention,
            model=options.model,
            progress=progress,
        )
    except (EngineError, ParityError, StaleBuild, UnsupportedCheckpoint, ServerStartError) as error:
        print(f"make engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
