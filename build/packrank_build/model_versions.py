"""Several versions of the model in one repository: Triton's versions of tokenizer and ranker, and an ensemble for each.

`reranker` asks version 1 of both, and `reranker_v<N>` asks version N. One server serves them all.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_server.unmerged_config import LIBRARY_FILE

# Links to version 1's files, so that an update of the code reaches every version.
_SHARED = {"tokenizer": ("model.py",), "ranker": ("model.py", LIBRARY_FILE)}


def ensemble_name(version: int) -> str:
    """Name the ensemble that a client asks for."""
    return "reranker" if version == 1 else f"reranker_v{version}"


def write_version(repository: Path, version: int) -> None:
    """Complete the published version directories of tokenizer and ranker, and write their ensemble."""
    for model, names in _SHARED.items():
        for name in names:
            link = repository / model / str(version) / name
            link.unlink(missing_ok=True)
            link.symlink_to(Path("..", "1", name))
    text = (repository / "reranker" / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, ModelConfig())
    config.name = ensemble_name(version)
    for step in config.ensemble_scheduling.step:
        if step.model_name in _SHARED:
            step.model_version = version
    directory = repository / config.name
    (directory / "1").mkdir(parents=True, exist_ok=True)
    (directory / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
