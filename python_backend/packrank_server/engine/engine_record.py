"""The record that `make engine` writes beside a plan, and its comparison with the server and GPU that serve it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_backend.build_record import read_build_record
from packrank_server.engine.gpu import Gpu

# Increased whenever plans of an older build can no longer be served.
FORMAT = 1


class UnservableEngine(Exception):
    """The engine cannot be served here. The message says why and how to fix it."""


@dataclass(frozen=True)
class EngineRecord:
    """Facts of one engine.

    `build_id` names the published model (build_record.py) that the engine was built from, `revision` its checkpoint.
    `profiles` maps name -> engine input -> least, typical and most elements. `parity` holds what the gate measured on
    the GPU.
    """

    build_id: str
    revision: str
    target: str
    gpu: str
    compute_capability: str
    tensorrt: str
    precision: str
    max_pair_tokens: int
    profiles: dict[str, dict[str, Sequence[int]]]
    onnx_sha256: str
    plan_sha256: str
    parity: dict[str, Any]
    format: int = FORMAT

    def write(self, plan: Path) -> None:
        """Write the record beside its plan."""
        record_file(plan).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def record_file(plan: Path) -> Path:
    """Return the record's path: l4.sm89.plan -> l4.sm89.json."""
    return plan.with_suffix(".json")


def read_engine_record(plan: Path) -> EngineRecord:
    """Read the record beside a plan. Raises UnservableEngine if it is missing or has another format."""
    remedy = f"Run `make engine TARGET={plan.name.split('.')[0]}`."
    if not plan.is_file() or not record_file(plan).is_file():
        raise UnservableEngine(f"{plan} or its record does not exist: no engine has been built. {remedy}")
    record = json.loads(record_file(plan).read_text(encoding="utf-8"))
    if record.get("format") != FORMAT:
        raise UnservableEngine(f"{record_file(plan)} has format {record.get('format')}, not {FORMAT}. {remedy}")
    return EngineRecord(**record)


def configured_plan(repository: Path, config_name: str, version: str = "1") -> tuple[str, Path] | None:
    """Return compute capability and plan of a named config of the ranker, or None for a config without a plan."""
    path = repository / "ranker" / "configs" / f"{config_name}.pbtxt"
    if not path.is_file():
        return None
    config = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    for capability, file in config.cc_model_filenames.items():
        return capability, repository / "ranker" / version / file
    return None


def require_servable(
    repository: Path,
    config_name: str,
    gpus: Sequence[Gpu],
    tensorrt: str | None,
    version: str = "1",
) -> None:
    """Refuse an engine that the server cannot load, or that belongs to another model than the tokenizer.

    `gpus` are this machine's. `tensorrt` is the server's version, None if it has no TensorRT backend. A config without
    a plan is always servable. Triton would refuse most of this too, but without naming a remedy. Raises
    UnservableEngine.
    """
    asked = configured_plan(repository, config_name, version)
    if asked is None:
        return
    capability, plan = asked
    if tensorrt is None:
        raise UnservableEngine(
            f"the config {config_name} needs Triton's TensorRT backend, which this tritonserver lacks: use NVIDIA's "
            "tritonserver image, or the config cpu."
        )
    fitting = [gpu.name for gpu in gpus if gpu.compute_capability == capability]
    if not fitting:
        present = ", ".join(f"{gpu.name} ({gpu.compute_capability})" for gpu in gpus) or "none"
        raise UnservableEngine(
            f"the config {config_name} needs a GPU of compute capability {capability}; GPUs here: {present}. Start the "
            "container with --gpus, or choose the config of this GPU."
        )
    record = read_engine_record(plan)
    remedy = f"Run `make engine TARGET={config_name}` again."
    if record.tensorrt != tensorrt:
        raise UnservableEngine(f"{plan} was built by TensorRT {record.tensorrt}, the server has {tensorrt}. {remedy}")
    built = read_build_record(repository / "tokenizer" / version).build_id
    if record.build_id != built:
        raise UnservableEngine(f"{plan} is of build {record.build_id}, the published tokenizer of {built}. {remedy}")
