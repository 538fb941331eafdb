"""The bidirectional Llama cross-encoder in torch, on packed tokens, with adapters (LoRA) to train.

It computes the same function as packrank_build.graph.reference. The parity gate holds the built model to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from packrank_build.checkpoint.architecture import Architecture, architecture_from_config
from packrank_build.graph.rope import inverse_frequencies

# The dtype of matrix products. Sums, norms and the residual stream are fp32. Without AVX-512 torch emulates bf16, a
# hundred times slower than fp32.
COMPUTE = torch.float32 if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2") else torch.bfloat16


class AdaptedLinear(nn.Module):
    """W x + B A x: a frozen projection W plus a trained low-rank one (LoRA, Hu et al. 2021)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(COMPUTE), persistent=False)  # [out, in]
        out_width, in_width = weight.shape
        self.down = nn.Parameter(torch.empty(rank, in_width).uniform_(-1, 1) * (3 / in_width) ** 0.5)
        self.up = nn.Parameter(torch.zeros(out_width, rank))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [tokens, in] to [tokens, out], both in COMPUTE."""
        low = functional.linear(hidden, self.down.to(COMPUTE))
        return functional.linear(hidden, self.weight) + functional.linear(low, self.up.to(COMPUTE))


class Layer(nn.Module):
    """One decoder layer. Query, key and value share a projection; so do gate and up."""

    def __init__(self, weights: dict[str, Tensor], architecture: Architecture, rank: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = architecture.heads, architecture.kv_heads
        self.head_dim, self.epsilon = architecture.head_dim, architecture.norm_epsilon
        self.attention_norm = nn.Parameter(weights["input_layernorm"])
        self.mlp_norm = nn.Parameter(weights["post_attention_layernorm"])
        self.qkv = AdaptedLinear(torch.cat([weights[f"self_attn.{name}_proj"] for name in "qkv"]), rank)
        self.attention_out = AdaptedLinear(weights["self_attn.o_proj"], rank)
        self.gate_up = AdaptedLinear(torch.cat([weights["mlp.gate_proj"], weights["mlp.up_proj"]]), rank)
        self.mlp_out = AdaptedLinear(weights["mlp.down_proj"], rank)

    def forward(self, hidden: Tensor, rope: tuple[Tensor, Tensor], pad_index: Tensor, mask: Tensor) -> Tensor:
        """Run the layer on packed tokens: fp32 [tokens, width] in and out.

        `pad_index` [tokens] is each token's row in the padded [pairs * max_len] layout. `mask` [pairs, 1, 1, max_len]
        is true for tokens.
        """
        pairs, max_len = mask.shape[0], mask.shape[3]
        qkv = self.qkv(rms_norm(hidden, self.attention_norm, self.epsilon))
        qkv = qkv.view(-1, self.heads + 2 * self.kv_heads, self.head_dim)
        rotated = apply_rope(qkv[:, : self.heads + self.kv_heads], *rope)
        qkv = torch.cat([rotated, qkv[:, self.heads + self.kv_heads :]], 1)
        padded = qkv.new_zeros(pairs * max_len, *qkv.shape[1:]).index_copy(0, pad_index, qkv)
        padded = padded.view(pairs, max_len, *qkv.shape[1:]).transpose(1, 2)
        query, key, value = padded.split([self.heads, self.kv_heads, self.kv_heads], 1)
        attended = functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
        unpadded = attended.transpose(1, 2).reshape(pairs * max_len, -1).index_select(0, pad_index)
        hidden = hidden + self.attention_out(unpadded)
        gate, up = self.gate_up(rms_norm(hidden, self.mlp_norm, self.epsilon)).chunk(2, 1)
        return hidden + self.mlp_out(functional.silu(gate) * up)


class Ranker(nn.Module):
    """The whole model: token ids of pairs in, one logit per pair out."""

    def __init__(self, checkpoint: Path, rank: int) -> None:
        super().__init__()
        architecture = architecture_from_config(checkpoint)
        weights = load_file(checkpoint / "model.safetensors")
        self.epsilon = architecture.norm_epsilon
        self.register_buffer("embeddings", weights["model.embed_tokens.weight"], persistent=False)
        self.register_buffer(
            "frequencies", torch.tensor(inverse_frequencies(architecture), dtype=torch.float32), persistent=False
        )
        self.layers = nn.ModuleList()
        for place in range(architecture.layers):
            prefix = f"model.layers.{place}."
            own = {
                name.removeprefix(prefix).removesuffix(".weight"): weight
                for name, weight in weights.items()
                if name.startswith(prefix)
            }
            self.layers.append(Layer(own, architecture, rank))
        self.norm = nn.Parameter(weights["model.norm.weight"])
        self.score = nn.Parameter(torch.randn(architecture.hidden_size) * 0.02)

    def forward(self, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Score the token ids of each pair: fp32 logits [pairs]."""
        lengths = torch.tensor([len(pair) for pair in pairs])
        max_len = int(lengths.max())
        positions = torch.cat([torch.arange(length) for length in lengths.tolist()])
        owners = torch.repeat_interleave(torch.arange(len(pairs)), lengths)
        pad_index = owners * max_len + positions
        mask = (torch.arange(max_len) < lengths[:, None])[:, None, None, :]
        angles = positions[:, None] * self.frequencies[None, :]
        rope = (angles.cos().to(COMPUTE)[:, None, :], angles.sin().to(COMPUTE)[:, None, :])
        hidden = functional.embedding(torch.tensor([token for pair in pairs for token in pair]), self.embeddings)
        for layer in self.layers:
            hidden = layer(hidden, rope, pad_index, mask)
        scores = functional.rms_norm(hidden, self.norm.shape, self.norm, self.epsilon) @ self.score
        return torch.zeros(len(pairs)).index_add(0, owners, scores) / lengths

    def trained(self) -> dict[str, Tensor]:
        """Return the trained parameters by name: adapters, norms and the score head."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}


def rms_norm(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Normalise fp32 [tokens, width]; returns COMPUTE."""
    return functional.rms_norm(hidden, weight.shape, weight, epsilon).to(COMPUTE)


def apply_rope(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply RoPE in Hugging Face's order, two halves, to `heads` [tokens, heads, head_dim].

    `cosine` and `sine` are [tokens, 1, head_dim / 2].
    """
    first, second = heads.chunk(2, 2)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], 2)
