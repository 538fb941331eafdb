"""The model in PyTorch: packed pairs from the embedding to the logits, in fp32, bf16, fp16 or fp8.

Computes what `packrank_build/graph/reference.py` computes, in the same order, but for all pairs at once and without
a pad token: on a GPU `varlen_attn` runs FlashAttention over cumulative lengths, elsewhere attention runs pair by pair.
No GPU has run this file yet. Tests run every line on a CPU, with a stand-in for `varlen_attn`.

Eager PyTorch on purpose: `torch.compile` and CUDA graphs pay for shapes that repeat, and no two batches here are alike.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.rope import inverse_frequencies

# What projections, attention and the MLP compute in. Norms, RoPE, the residual stream, pooling and score are FP32.
COMPUTE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}
FLASH_ATTENTION = (8, 0)  # the least compute capability that FlashAttention runs on: Ampere
FP8 = torch.float8_e4m3fn
FP8_LARGEST = 448.0


@dataclass(frozen=True)
class Run:
    """Where the pairs of one run lie.

    `ends`: INT32 [pairs + 1], zero first. `lengths`: INT32 [pairs]. RoPE's tables: FP32 [tokens, 1, head_dim / 2].
    """

    seq_lens: list[int]
    lengths: torch.Tensor
    ends: torch.Tensor
    cosine: torch.Tensor
    sine: torch.Tensor


@dataclass(frozen=True)
class Weight:
    """A projection [outputs, inputs]; `scale` FP32 [1, outputs] multiplies the outputs of an fp8 one."""

    matrix: torch.Tensor
    scale: torch.Tensor | None = None


@dataclass(frozen=True)
class Layer:
    """One layer's weights. Projections of the same tokens are one matrix: one large product instead of three."""

    attention_norm: torch.Tensor
    query_key_value: Weight
    output: Weight
    mlp_norm: torch.Tensor
    gate_up: Weight
    down: Weight


class TorchModel:
    """A checkpoint's weights on a device. They get there one at a time, never all of them in the machine's memory."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str, max_positions: int) -> None:
        self.architecture = checkpoint.architecture
        self.device = device
        self.precision = precision
        self.dtype = COMPUTE_DTYPES[precision]
        self.has_flash_attention = (
            device.type == "cuda"
            and self.dtype != torch.float32
            and torch.cuda.get_device_capability(device) >= FLASH_ATTENTION
        )
        # cuBLAS may otherwise add partial sums in half precision, and down_proj sums thousands of terms.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self._embedding = self._loaded(checkpoint, "model.embed_tokens", self.dtype)
        self._layers = [self._layer(checkpoint, f"model.layers.{n}") for n in range(self.architecture.layers)]
        self._norm = self._loaded(checkpoint, "model.norm")
        self._head = self._loaded(checkpoint, "score")[0]
        positions = torch.arange(max_positions, dtype=torch.float32)
        angles = torch.outer(positions, torch.from_numpy(inverse_frequencies(self.architecture)))[:, None]
        self._cosine, self._sine = angles.cos().to(device), angles.sin().to(device)

    def logits(self, input_ids: NDArray[np.int32], seq_lens: NDArray[np.int32]) -> torch.Tensor:
        """Logits of packed pairs, FP32 [pairs] on the device, queued there but not waited for.

        `input_ids`: INT32 [tokens]; `seq_lens`: INT32 [pairs], none longer than `max_positions`.
        """
        with torch.inference_mode():
            run = self._run(seq_lens)
            hidden = self._embedding[self._on_device(input_ids)].float()
            for layer in self._layers:
                normed = self._rms_norm(hidden, layer.attention_norm).to(self.dtype)
                attended = self._attended(product(normed, layer.query_key_value), run)
                hidden += product(attended, layer.output)
                normed = self._rms_norm(hidden, layer.mlp_norm).to(self.dtype)
                gate, up = product(normed, layer.gate_up).chunk(2, dim=-1)
                hidden += product(functional.silu(gate, inplace=True).mul_(up), layer.down)
            return self._pooled(self._rms_norm(hidden, self._norm), run)

    def _run(self, seq_lens: NDArray[np.int32]) -> Run:
        ends = np.concatenate([[0], np.cumsum(seq_lens)])
        positions = self._on_device(np.arange(ends[-1]) - np.repeat(ends[:-1], seq_lens))
        return Run(
            seq_lens=seq_lens.tolist(),
            lengths=self._on_device(seq_lens),
            ends=self._on_device(ends.astype(np.int32)),
            cosine=self._cosine[positions],
            sine=self._sine[positions],
        )

    def _rms_norm(self, hidden: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(hidden, scale.shape, scale, self.architecture.norm_epsilon)

    def _attended(self, projected: torch.Tensor, run: Run) -> torch.Tensor:
        """What each pair's heads see of each other: [tokens, heads * head_dim]."""
        heads, kv_heads = self.architecture.heads, self.architecture.kv_heads
        by_head = projected.view(len(projected), -1, self.architecture.head_dim)
        query, key = rotated(by_head[:, : heads + kv_heads], run).split([heads, kv_heads], dim=1)
        value = by_head[:, heads + kv_heads :]
        attention = flash_attention if self.has_flash_attention else pairwise_attention
        return attention(query, key, value, run, causal=self.architecture.causal).flatten(1)

    def _pooled(self, normed: torch.Tensor, run: Run) -> torch.Tensor:
        if self.architecture.pooling == "last":
            scores = normed[run.ends[1:] - 1] @ self._head
        else:  # the mean of the tokens' scores is the score of their mean
            scores = torch.segment_reduce(normed @ self._head, "mean", lengths=run.lengths, unsafe=True)
        return scores / self.architecture.temperature

    def _layer(self, checkpoint: Checkpoint, prefix: str) -> Layer:
        return Layer(
            attention_norm=self._loaded(checkpoint, f"{prefix}.input_layernorm"),
            query_key_value=self._projection(checkpoint, *(f"{prefix}.self_attn.{part}_proj" for part in "qkv")),
            output=self._projection(checkpoint, f"{prefix}.self_attn.o_proj"),
            mlp_norm=self._loaded(checkpoint, f"{prefix}.post_attention_layernorm"),
            gate_up=self._projection(checkpoint, f"{prefix}.mlp.gate_proj", f"{prefix}.mlp.up_proj"),
            down=self._projection(checkpoint, f"{prefix}.mlp.down_proj"),
        )

    def _projection(self, checkpoint: Checkpoint, *names: str) -> Weight:
        matrix = torch.cat([self._loaded(checkpoint, name, self.dtype) for name in names])
        return fp8_weight(matrix) if self.precision == "fp8" else Weight(matrix)

    def _loaded(self, checkpoint: Checkpoint, name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.from_numpy(checkpoint.weight_fp32(f"{name}.weight")).to(dtype).to(self.device)

    def _on_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Copy through pinned memory, without waiting for the GPU."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor


def product(rows: torch.Tensor, weight: Weight) -> torch.Tensor:
    """Rows [tokens, inputs] times a projection: [tokens, outputs] in the rows' dtype."""
    if weight.scale is None:
        return functional.linear(rows, weight.matrix)
    quantised, scale = fp8_rows(rows)
    return torch._scaled_mm(quantised, weight.matrix.T, scale, weight.scale, out_dtype=rows.dtype)


def fp8_weight(matrix: torch.Tensor) -> Weight:
    """Round a projection to E4M3 with one scale per output."""
    quantised, scale = fp8_rows(matrix)
    return Weight(quantised, scale.T.contiguous())


def fp8_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round rows to E4M3 with one FP32 scale each, [rows, 1]: the largest value of a row becomes E4M3's largest."""
    scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / FP8_LARGEST
    return (rows / scale).to(FP8), scale


def rotated(vectors: torch.Tensor, run: Run) -> torch.Tensor:
    """Rotate channel i against channel i + head_dim / 2 (Hugging Face's order), in FP32: [tokens, heads, head_dim].

    The sums go straight into the result, which saves passes over memory.
    """
    first, second = vectors.chunk(2, dim=-1)
    result = torch.empty(vectors.shape, dtype=vectors.dtype, device=vectors.device)
    into_first, into_second = result.chunk(2, dim=-1)
    torch.addcmul(first * run.cosine, second, run.sine, value=-1, out=into_first)
    torch.addcmul(second * run.cosine, first, run.sine, out=into_second)
    return result


def flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, run: Run, *, causal: bool
) -> torch.Tensor:
    """FlashAttention on packed pairs (Dao 2023, arXiv:2307.08691): [tokens, heads, head_dim]."""
    known = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = {}
    if "enable_gqa" in known:  # since PyTorch 2.12
        options["enable_gqa"] = True
    else:
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
    if "window_size" in known:  # since PyTorch 2.11: how far a token looks back and ahead, -1 without an end
        options["window_size"] = (-1, 0) if causal else (-1, -1)
    else:
        options["is_causal"] = causal
    longest = max(run.seq_lens)
    attended: torch.Tensor = varlen_attn(query, key, value, run.ends, run.ends, longest, longest, **options)
    return attended


def pairwise_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, run: Run, *, causal: bool
) -> torch.Tensor:
    """The same, one pair after another: for CPUs, for fp32, and for GPUs without FlashAttention."""
    queries, keys, values = (part.transpose(0, 1)[None].split(run.seq_lens, dim=2) for part in (query, key, value))
    attended = [
        functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(attended, dim=2)[0].transpose(0, 1)
