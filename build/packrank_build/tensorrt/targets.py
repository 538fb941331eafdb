"""The GPUs that engines are built for: one table. Configs, builder, batching and docs agree with it by test.

How the numbers follow from one another:

* A request holds at most REQUEST; the tokenizer refuses more. It is the same for every target, so a request that one
  machine accepts no other refuses. Padded tokens are pairs x longest pair: what attention works on (packed_graph.py).
* Requests are merged up to `batch`. Its tokens are where a card's matrix products are expected to saturate: a larger
  batch would only answer later. No GPU has measured them yet. Its padded tokens are four times that, since a batch of
  uneven lengths computes attention on padding.
* Profiles cover a full request and a full batch. Triton picks a profile by the *sums* of the ragged inputs: tokens,
  pairs, and the carrier's elements. It never looks at the longest pair, which is a batch input (tensorrt_backend,
  GetMostOptimizedProfile). So tokens and pairs alone must tell profiles apart. Their ranges of pairs do not overlap,
  and within a range the padded tokens bound the longest pair. `one_query` overlaps, which is safe: no pair is longer
  than all tokens together.
* An engine's memory is its weights and the scratch memory of every profile (memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packrank_backend.text.question import PairLimits

# At most this many requests are merged. The budgets below end a batch sooner, unless its requests are tiny.
MAX_REQUESTS = 64

# fp8 has hardware on compute capability 8.9 and newer; TensorRT refuses it elsewhere.
EnginePrecision = Literal["fp16", "bf16", "fp8"]

Bounds = tuple[int, int, int]  # least, typical (TensorRT tunes its kernels for it), most

REQUEST = PairLimits(max_pair_tokens=8192, max_passages=512, max_request_tokens=16384, max_request_padded_tokens=131072)


@dataclass(frozen=True)
class Profile:
    """One range of shapes that an engine is built for."""

    name: str
    tokens: Bounds
    pairs: Bounds
    max_len: Bounds

    def shapes(self) -> dict[str, Bounds]:
        """Bounds of the one dimension of each engine input.

        max_len_carrier has as many elements as the longest pairs of all merged requests together have tokens: at least
        one, at most all tokens.
        """
        carrier = (1, *self.tokens[1:])
        return {"input_ids": self.tokens, "seq_lens": self.pairs, "max_len_carrier": carrier, "max_len": self.max_len}


@dataclass(frozen=True)
class BatchBudget:
    """How much is merged into one run: sums over the requests. `padded_tokens` is pairs x longest pair."""

    tokens: int
    pairs: int
    padded_tokens: int


@dataclass(frozen=True)
class Target:
    """One GPU. `memory_bytes` is the smallest variant's; `peak_fp16_flops` is dense, from NVIDIA's data sheets."""

    name: str
    gpu: str
    compute_capability: str
    memory_bytes: int
    peak_fp16_flops: float
    precisions: tuple[EnginePrecision, ...]
    batch: BatchBudget
    profiles: tuple[Profile, ...]

    @property
    def sm(self) -> str:
        """The compute capability as TensorRT names it, e.g. SM89."""
        return "SM" + self.compute_capability.replace(".", "")

    @property
    def plan_file(self) -> str:
        """Name of the engine in the model's version directory.

        It holds the target's name, because two targets with the same compute capability have different profiles.
        """
        return f"{self.name}.{self.sm.lower()}.plan"


def _profiles(batch: BatchBudget) -> tuple[Profile, ...]:
    """Cover every request and every batch of that budget. Kernels are tuned for a full batch."""
    typical, most = batch.tokens, max(batch.tokens, REQUEST.max_request_tokens)
    most_pairs = max(batch.pairs, REQUEST.max_passages)
    return (
        Profile("one_query", tokens=(1, 512, 1024), pairs=(1, 8, 32), max_len=(1, 128, 1024)),
        Profile("few_pairs", tokens=(1, typical, most), pairs=(1, 16, 32), max_len=(1, typical // 16, 8192)),
        Profile("some_pairs", tokens=(33, typical, most), pairs=(33, 64, 128), max_len=(1, typical // 64, 4096)),
        Profile("many_pairs", tokens=(129, typical, most), pairs=(129, 256, most_pairs), max_len=(1, 128, 1024)),
    )


def _target(
    name: str,
    gpu: str,
    compute_capability: str,
    memory_gb: int,
    peak_fp16_flops: float,
    batch_tokens: int,
    precisions: tuple[EnginePrecision, ...] = ("fp16", "bf16", "fp8"),
) -> Target:
    """Derive a target's budgets and profiles from the tokens of a batch."""
    batch = BatchBudget(tokens=batch_tokens, pairs=batch_tokens // 16, padded_tokens=4 * batch_tokens)
    memory_bytes = memory_gb * 10**9
    return Target(name, gpu, compute_capability, memory_bytes, peak_fp16_flops, precisions, batch, _profiles(batch))


TARGETS = {
    target.name: target
    for target in (
        _target("b200", "B200", "10.0", 180, 2250e12, 32768),
        _target("h200", "H200", "9.0", 141, 989e12, 16384),
        _target("h100", "H100 SXM", "9.0", 80, 989e12, 16384),
        _target("a100", "A100", "8.0", 40, 312e12, 8192, ("fp16", "bf16")),
        _target("l40s", "L40S", "8.9", 48, 362e12, 8192),
        _target("l4", "L4", "8.9", 24, 121e12, 4096),
        _target("a10g", "A10G", "8.6", 24, 70e12, 4096, ("fp16", "bf16")),
    )
}
