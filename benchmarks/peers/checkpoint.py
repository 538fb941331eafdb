"""Write a checkpoint as the peers load it: the same weights, set up to read pairs as packrank does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import Tokenizer, processors

from benchmarks.errors import BenchmarkError
from packrank_build.checkpoint.architecture import architecture_from_config

MODELING = Path(__file__).with_name("modeling_llama_bidirectional.py")
PACKAGE = MODELING.stem


def write_peer_checkpoint(checkpoint: Path, directory: Path) -> None:
    """Replace `directory` by a copy of a checkpoint of NVIDIA's class, with links to its weights.

    Raises BenchmarkError for another pooling or temperature than the peers' code has.
    """
    architecture = architecture_from_config(checkpoint)
    if architecture.pooling != "avg" or architecture.temperature != 1:
        raise BenchmarkError(f"{checkpoint} must have pooling avg and temperature 1: the peers' code has no other.")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for weights in checkpoint.glob("*.safetensors*"):
        (directory / weights.name).symlink_to(weights.resolve())
    shutil.copy(MODELING, directory)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    bos = tokenizer.id_to_token(config["bos_token_id"])
    # The peers tokenise query and passage apart. The ids are those of the whole prompt, unless a token spans the seam,
    # like Llama 3's ":L": then there is one more.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B:0", special_tokens=[(bos, config["bos_token_id"])]
    )
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    config |= {
        "is_causal": False,
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "pad_token_id": config.get("pad_token_id", config["bos_token_id"]),
        "dtype": "float32",
        "auto_map": {
            "AutoConfig": f"{PACKAGE}.LlamaBidirectionalConfig",
            "AutoModelForSequenceClassification": f"{PACKAGE}.LlamaBidirectionalForSequenceClassification",
        },
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "pad_token": tokenizer.id_to_token(config["pad_token_id"]),
        "model_max_length": architecture.max_positions,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2), encoding="utf-8")
