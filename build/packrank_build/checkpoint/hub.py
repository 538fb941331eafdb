"""A hub id -> a checkpoint directory on disk."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from packrank_build.checkpoint.architecture import UnsupportedCheckpoint

# Neither code nor other weight formats, so nothing remote is ever executed.
FILES = ("config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors")


def checkpoint_directory(model: str, revision: str | None) -> tuple[Path, str | None]:
    """Find a model's directory and commit: `model` itself if it is a directory, otherwise a download from the hub.

    Raises UnsupportedCheckpoint with the remedy when the hub cannot be reached or refuses.
    """
    if Path(model).is_dir():
        return Path(model), None
    if model.count("/") != 1 or model.startswith((".", "/")):
        raise UnsupportedCheckpoint(f"{model} is neither a directory nor a hub id like owner/name.")
    try:
        directory = Path(snapshot_download(model, revision=revision, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UnsupportedCheckpoint(
            f"{model} could not be downloaded ({type(error).__name__}): check the name and the network. Some models "
            "need you to accept their licence and set HF_TOKEN. On a machine without network, copy the checkpoint "
            "here and give its directory."
        ) from error
    return directory, directory.name  # a snapshot's directory is named by its commit
