"""The GPUs that engines are built for: one table, which configs, builder, batching and docs agree with by test.

How the numbers follow from one another:

* A request holds at most REQUEST (the tokenizer refuses more), on every target the same, so that what one machine
  accepts no other refuses. `frames` are pairs x longest pair: attention works on that many rows (packed_graph.py).
* Requests are merged up to `batch`. Its tokens are about a tenth of a second of work at the card's ceiling; its frames
  are four times that, since an uneven batch computes attention on padding.
* Profiles cover both. Triton picks a profile by the *sums* of the ragged inputs (tokens, pairs, and the carrier's
  elements) and never looks at the longest pair, which is a batch input (tensorrt_backend, GetMostOptimizedProfile).
  So profiles must be told apart by tokens and pairs alone: their ranges of pairs do not overlap, and within a range
  `frames` bounds the longest pair. `one_query` overlaps, which is safe: no pair is longer than all tokens together.
* An engine's memory is its weights and the scratch memory of every profile (engine_memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packrank_backend.pairs import PairLimits

# Requests merged at most. The budgets below end a batch sooner, unless its requests are tiny.
MAX_REQUESTS = 64

# fp8 has hardware on compute capability 8.9 and newer; TensorRT refuses it elsewhere.
EnginePrecision = Literal["fp16", "bf16", "fp8"]

Bounds = tuple[int, int, int]  # least, typical (kernels are chosen for it), most

REQUEST = PairLimits(max_pair_tokens=8192, max_passages=512, max_request_tokens=16384, max_request_frames=131072)


@dataclass(frozen=True)
class Profile:
    """One range of shapes that an engine is built for."""

    name: str
    tokens: Bounds
    pairs: Bounds
    longest: Bounds

    def shapes(self) -> dict[str, Bounds]:
        """Bounds of the one dimension of each engine input.

        The carrier `longest` has as many elements as the longest pairs of all merged requests have together: between
        one and all tokens.
        """
        carried = (1, *self.tokens[1:])
        return {"input_ids": self.tokens, "seq_lens": self.pairs, "longest": carried, "max_len": self.longest}


@dataclass(frozen=True)
class BatchBudget:
    """How much is merged into one run: sums over the requests, and pairs x longest pair."""

    tokens: int
    pairs: int
    frames: int


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
    instances: int = 1

    @property
    def sm(self) -> str:
        """The compute capability as TensorRT names it, e.g. SM89."""
        return "SM" + self.compute_capability.replace(".", "")

    @property
    def plan_file(self) -> str:
        """Name of the engine in the model's version directory.

        With the target's name, because an engine of another target with the same compute capability has other
        profiles.
        """
        return f"{self.name}.{self.sm.lower()}.plan"


def _profiles(max_tokens: int, max_pairs: int) -> tuple[Profile, ...]:
    return (
        Profile("one_query", tokens=(1, 512, 1024), pairs=(1, 8, 32), longest=(1, 128, 1024)),
        Profile("few_pairs", tokens=(1, 8192, max_tokens), pairs=(1, 16, 32), longest=(1, 1024, 8192)),
        Profile("some_pairs", tokens=(33, 8192, max_tokens), pairs=(33, 64, 128), longest=(1, 256, 4096)),
        Profile(
            "many_pairs", tokens=(129, max_tokens, max_tokens), pairs=(129, 256, max_pairs), longest=(1, 128, 1024)
        ),
    )


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="h100",
            gpu="H100 SXM",
            compute_capability="9.0",
            memory_bytes=80 * 10**9,
            peak_fp16_flops=989e12,
            precisions=("fp16", "bf16", "fp8"),
            batch=BatchBudget(tokens=32768, pairs=1024, frames=131072),
            profiles=_profiles(32768, 1024),
        ),
        Target(
            name="a100",
            gpu="A100",
            compute_capability="8.0",
            memory_bytes=40 * 10**9,
            peak_fp16_flops=312e12,
            precisions=("fp16", "bf16"),
            batch=BatchBudget(tokens=16384, pairs=512, frames=65536),
            profiles=_profiles(16384, 512),
        ),
        Target(
            name="l40s",
            gpu="L40S",
            compute_capability="8.9",
            memory_bytes=48 * 10**9,
            peak_fp16_flops=362e12,
            precisions=("fp16", "bf16", "fp8"),
            batch=BatchBudget(tokens=16384, pairs=512, frames=65536),
            profiles=_profiles(16384, 512),
        ),
        Target(
            name="l4",
            gpu="L4",
            compute_capability="8.9",
            memory_bytes=24 * 10**9,
            peak_fp16_flops=121e12,
            precisions=("fp16", "bf16", "fp8"),
            batch=BatchBudget(tokens=8192, pairs=512, frames=32768),
            profiles=_profiles(16384, 512),
        ),
        Target(
            name="a10g",
            gpu="A10G",
            compute_capability="8.6",
            memory_bytes=24 * 10**9,
            peak_fp16_flops=70e12,
            precisions=("fp16", "bf16"),
            batch=BatchBudget(tokens=4096, pairs=256, frames=16384),
            profiles=_profiles(16384, 512),
        ),
    )
}
