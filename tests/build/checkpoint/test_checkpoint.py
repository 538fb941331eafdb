import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from packrank_build.checkpoint.architecture import UnsupportedCheckpoint, architecture_from_config
from packrank_build.checkpoint.checkpoint import Checkpoint
from tests.support.random_checkpoint import write_random_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path, llama3_tokenizer: Path) -> Path:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", vocab_size=128256)
    return tmp_path


def change_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def test_weights_are_read_exactly(checkpoint: Path) -> None:
    opened = Checkpoint(checkpoint)
    stored = load_file(checkpoint / "model-1.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    assert opened.weight(name).dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(opened.weight_fp32(name), stored[name].astype(np.float32))


def test_one_file_and_shards_are_the_same_checkpoint(checkpoint: Path) -> None:
    sharded = Checkpoint(checkpoint).weight_fp32("score.weight")
    weights = {n: w for part in checkpoint.glob("model-*.safetensors") for n, w in load_file(part).items()}
    save_file(weights, checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors.index.json").unlink()
    np.testing.assert_array_equal(Checkpoint(checkpoint).weight_fp32("score.weight"), sharded)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w.pop("model.layers.1.mlp.up_proj.weight"), "missing weights: model.layers.1.mlp.up_proj.weight"),
        (lambda w: w.update({"lora.a": np.zeros(1, np.float32)}), "unexpected weights: lora.a"),
        (
            lambda w: w.update({"model.layers.1.mlp.up_proj.weight": np.zeros((3, 64), np.float32)}),
            r"up_proj.weight has shape \(3, 64\), config.json says \(160, 64\)",
        ),
    ],
)
def test_loading_is_strict(checkpoint: Path, edit: Any, message: str) -> None:
    file = checkpoint / "model-1.safetensors"
    weights = load_file(file)
    edit(weights)
    save_file(weights, file)
    with pytest.raises(UnsupportedCheckpoint, match=message):
        Checkpoint(checkpoint)


def test_a_derived_weight_of_old_transformers_is_ignored(checkpoint: Path) -> None:
    file = checkpoint / "model-1.safetensors"
    derived = {"model.layers.1.self_attn.rotary_emb.inv_freq": np.zeros(8, np.float32)}
    save_file(load_file(file) | derived, file)
    Checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["BertForSequenceClassification"]}, "supported are"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"mlp_bias": True}, "mlp_bias=True"),
        ({"pooling": "cls"}, "pooling='cls'"),
        ({"pooling": ...}, "pooling=None"),
        ({"temperature": ...}, "lacks 'temperature'"),
        ({"rms_norm_eps": ...}, "lacks 'rms_norm_eps'"),
        ({"id2label": {"0": "a", "1": "b"}}, "2 labels"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'"),
    ],
)
def test_what_would_change_scores_is_refused(checkpoint: Path, changes: dict[str, Any], message: str) -> None:
    change_config(checkpoint, **changes)
    with pytest.raises(UnsupportedCheckpoint, match=message):
        architecture_from_config(checkpoint)


def test_both_spellings_of_rope_are_the_same_architecture(checkpoint: Path) -> None:
    before = architecture_from_config(checkpoint)
    config = json.loads((checkpoint / "config.json").read_text())
    new_style = config["rope_scaling"] | {"rope_theta": config["rope_theta"]}
    change_config(checkpoint, rope_scaling=..., rope_theta=..., rope_parameters=new_style)
    assert architecture_from_config(checkpoint) == before


def test_missing_files_are_named(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="no config.json"):
        Checkpoint(tmp_path / "nowhere")
    (checkpoint / "model-norm.safetensors").unlink()
    with pytest.raises(UnsupportedCheckpoint, match="lacks model-norm.safetensors"):
        Checkpoint(checkpoint)
