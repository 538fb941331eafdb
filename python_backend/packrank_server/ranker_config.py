"""The ranker's named Triton config."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup


def read_ranker_config(repository: Path, config_name: str) -> ModelConfig:
    """Parse `configs/<config_name>.pbtxt`, or the plain `config.pbtxt` where that is missing, as Triton does.

    Raises OSError if the repository has neither.
    """
    ranker = repository / "ranker"
    named = ranker / "configs" / f"{config_name}.pbtxt"
    path = named if named.is_file() else ranker / "config.pbtxt"
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())


def runs_on_gpu(config: ModelConfig) -> bool:
    """Whether the config asks for a GPU (KIND_GPU), not merely for one if there is one (KIND_AUTO)."""
    return any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group)
