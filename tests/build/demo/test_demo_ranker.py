import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from packrank_build.demo.demo_ranker import merged
from packrank_build.demo.smollm2 import Base

WIDTH, KV, MLP, RANK = 8, 4, 12, 2
SHAPES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (KV, WIDTH),
    "self_attn.v_proj": (KV, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (MLP, WIDTH),
    "mlp.up_proj": (MLP, WIDTH),
    "mlp.down_proj": (WIDTH, MLP),
    "input_layernorm": (WIDTH,),
    "post_attention_layernorm": (WIDTH,),
}
Array = NDArray[np.float32]


def base() -> Base:
    random = np.random.default_rng(0)
    weights: dict[str, Array] = {
        f"model.layers.0.{name}.weight": random.standard_normal(shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    weights["model.embed_tokens.weight"] = np.ones((3, WIDTH), np.float32)
    weights["model.norm.weight"] = np.ones(WIDTH, np.float32)
    weights["score.weight"] = np.zeros((1, WIDTH), np.float32)
    return Base({"num_hidden_layers": 1}, weights, Tokenizer(models.BPE()))


def adapters() -> dict[str, Array]:
    random = np.random.default_rng(1)
    out_in = {
        "qkv": (WIDTH + 2 * KV, WIDTH),
        "attention_out": (WIDTH, WIDTH),
        "gate_up": (2 * MLP, WIDTH),
        "mlp_out": (WIDTH, MLP),
    }
    found: dict[str, Array] = {}
    for name, (out_width, in_width) in out_in.items():
        found[f"layers.0.{name}.up"] = random.standard_normal((out_width, RANK)).astype(np.float16)
        found[f"layers.0.{name}.down"] = random.standard_normal((RANK, in_width)).astype(np.float16)
    for name in ("layers.0.attention_norm", "layers.0.mlp_norm", "norm", "score"):
        found[name] = random.standard_normal(WIDTH).astype(np.float32)
    return found


def test_each_projection_gets_its_rows_of_the_change() -> None:
    before, trained = base(), adapters()
    after = merged(before, trained).weights
    change = trained["layers.0.qkv.up"].astype(np.float32) @ trained["layers.0.qkv.down"].astype(np.float32)
    for name, rows in (("q", change[:WIDTH]), ("k", change[WIDTH : WIDTH + KV]), ("v", change[WIDTH + KV :])):
        weight = f"model.layers.0.self_attn.{name}_proj.weight"
        np.testing.assert_array_equal(after[weight], before.weights[weight] + rows)
    up = trained["layers.0.gate_up.up"].astype(np.float32) @ trained["layers.0.gate_up.down"].astype(np.float32)
    weight = "model.layers.0.mlp.up_proj.weight"
    np.testing.assert_array_equal(after[weight], before.weights[weight] + up[MLP:])


def test_norms_and_head_are_the_trained_ones_and_embeddings_the_base_s() -> None:
    before, trained = base(), adapters()
    after = merged(before, trained).weights
    np.testing.assert_array_equal(after["score.weight"], trained["score"][None])
    np.testing.assert_array_equal(after["model.norm.weight"], trained["norm"])
    np.testing.assert_array_equal(after["model.layers.0.input_layernorm.weight"], trained["layers.0.attention_norm"])
    assert after["model.embed_tokens.weight"] is before.weights["model.embed_tokens.weight"]
    assert not before.weights["score.weight"].any()


def test_adapters_of_another_base_are_refused() -> None:
    with pytest.raises(ValueError, match=r"do not fit the base: \['layers.1.qkv.up'\]"):
        merged(base(), adapters() | {"layers.1.qkv.up": np.zeros((1, 1), np.float32)})
    with pytest.raises(ValueError, match="do not fit the base: 15 rows for 16"):
        merged(base(), adapters() | {"layers.0.qkv.up": np.zeros((15, RANK), np.float32)})
