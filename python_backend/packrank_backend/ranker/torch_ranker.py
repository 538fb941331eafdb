"""The ranker in PyTorch, on any GPU that PyTorch knows or on a CPU: the config `torch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from packrank_backend.build_record import BuildRecord, StaleBuild, read_build_record
from packrank_backend.deadlines import has_passed
from packrank_backend.errors import InvalidRequest, expired_request
from packrank_backend.packing import PackedPairs, check_packing
from packrank_backend.ranker.torch_model import COMPUTE_DTYPES, FLASH_ATTENTION, TorchModel
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.hub import checkpoint_directory

FP8_PRODUCTS = (8, 9)  # the least compute capability with fp8 products: Ada
WARM_UP_PAIR = 512  # tokens


class UnsupportedDevice(Exception):
    """The device cannot run the model as configured; the message says what to change."""


def published_ranker(version_directory: Path, *, precision: str, max_run_tokens: int, gpu: int | None) -> TorchRanker:
    """Load the checkpoint that a version directory of the model repository was built from.

    `gpu` is the GPU's number; None runs on the CPU, in fp32. Raises StaleBuild, UnsupportedCheckpoint or
    UnsupportedDevice.
    """
    record = read_build_record(version_directory)
    if gpu is not None and not torch.cuda.is_available():
        raise UnsupportedDevice(
            f"Triton sees GPU {gpu}, but PyTorch {torch.__version__} sees none: install a build of PyTorch for its "
            "driver (docs/gpu.md), or serve on the CPU with CONFIG=cpu."
        )
    device = torch.device("cpu") if gpu is None else torch.device("cuda", gpu)
    model = TorchModel(
        published_checkpoint(record), device, supported_precision(precision, device), record.max_pair_tokens
    )
    return TorchRanker(model, record, max_run_tokens=max_run_tokens)


def published_checkpoint(record: BuildRecord) -> Checkpoint:
    """Find the checkpoint of a published model. Raises StaleBuild when its files have changed since the build."""
    commit = record.revision if len(record.revision) == 40 else None  # a directory's revision is its SHA-256
    directory, found = checkpoint_directory(record.source, commit)
    checkpoint = Checkpoint(directory)
    if (found or checkpoint.sha256()) != record.revision:
        raise StaleBuild(f"{directory} has changed since build {record.build_id} was made. Run `make model` again.")
    return checkpoint


def supported_precision(precision: str, device: torch.device) -> str:
    """What `device` computes in when asked for `precision`.

    A CPU takes fp32, a GPU without bf16 takes fp16. Raises UnsupportedDevice for an unknown precision and for fp8 on
    a GPU that has none.
    """
    if precision not in COMPUTE_DTYPES:
        raise UnsupportedDevice(f"the ranker's parameter precision is {precision}: use {', '.join(COMPUTE_DTYPES)}.")
    if device.type == "cpu":
        return "fp32"
    capability = torch.cuda.get_device_capability(device)
    if precision == "fp8" and capability < FP8_PRODUCTS:
        name = torch.cuda.get_device_name(device)
        raise UnsupportedDevice(f"{name} has no fp8: set the ranker's parameter precision to bf16.")
    return "fp16" if precision == "bf16" and capability < FLASH_ATTENTION else precision


class TorchRanker:
    """Scores packed pairs; one instance serves one Triton model instance.

    `max_run_tokens` bounds one run of the model, and so its memory. A longer pair runs alone.
    """

    def __init__(self, model: TorchModel, record: BuildRecord, *, max_run_tokens: int) -> None:
        self.record = record
        self.max_run_tokens = max_run_tokens
        self._model = model

    def sentence(self) -> str:
        """What computes, and where."""
        model, torch_version = self._model, f"PyTorch {torch.__version__}"
        if model.device.type == "cpu":
            return f"no GPU here: {torch_version} runs on the CPU in {model.precision}."
        attention = "FlashAttention on packed pairs" if model.has_flash_attention else "attention pair by pair"
        name = torch.cuda.get_device_name(model.device)
        return (
            f"{torch_version} on {name} ({model.device}) in {model.precision}, {attention}, "
            f"up to {self.max_run_tokens} tokens per run."
        )

    def warm_up(self) -> None:
        """Load kernels and reserve memory with the largest run; halve it until it fits the GPU."""
        limit = self.record.max_pair_tokens
        pair = min(WARM_UP_PAIR, limit)
        while True:
            tokens = self.max_run_tokens if self._model.device.type == "cuda" else pair
            seq_lens = np.full(max(1, tokens // pair), pair, np.int32)
            try:
                self.logits([PackedPairs(np.zeros(int(seq_lens.sum()), np.int32), seq_lens)])
            except torch.cuda.OutOfMemoryError:
                if self.max_run_tokens <= limit:
                    raise
            else:
                return
            # Only here, outside the handler, has the failed run let go of its tensors.
            torch.cuda.empty_cache()
            self.max_run_tokens //= 2

    def check(self, packed: PackedPairs) -> None:
        """Refuse a request whose tensors contradict each other: InvalidRequest(INVALID_PACKING)."""
        check_packing(packed, self._model.architecture.vocab_size, self.record.max_pair_tokens)

    def logits(self, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
        """Logits of each request, FP32 [pairs] each, computed together. Every request must have passed `check`.

        All runs are queued before any is waited for: the GPU computes one while the next is prepared.
        """
        input_ids = np.concatenate([request.input_ids for request in requests])
        seq_lens = np.concatenate([request.seq_lens for request in requests])
        ends = np.concatenate([[0], np.cumsum(seq_lens)])
        runs = packed_runs(seq_lens, self.max_run_tokens)
        queued = [self._model.logits(input_ids[ends[run.start] : ends[run.stop]], seq_lens[run]) for run in runs]
        logits: NDArray[np.float32] = torch.cat(queued).cpu().numpy()
        return np.split(logits, np.cumsum([len(request.seq_lens) for request in requests])[:-1])

    def answers(
        self, requests: Sequence[PackedPairs], clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> list[NDArray[np.float32] | InvalidRequest]:
        """Score as `logits` does. Requests whose deadline has passed get InvalidRequest(DEADLINE_EXCEEDED) instead."""
        now_ns = clock_ns()
        expired = [has_passed(request.deadline, now_ns) for request in requests]
        wanted = [request for request, late in zip(requests, expired, strict=True) if not late]
        scored = iter(self.logits(wanted) if wanted else [])
        return [expired_request() if late else next(scored) for late in expired]


def packed_runs(seq_lens: NDArray[np.int32], max_run_tokens: int) -> list[slice]:
    """Cut pairs, in order, into runs of at most `max_run_tokens` tokens; a longer pair runs alone."""
    runs, first, tokens = [], 0, 0
    for pair, length in enumerate(seq_lens.tolist()):
        if tokens and tokens + length > max_run_tokens:
            runs.append(slice(first, pair))
            first, tokens = pair, 0
        tokens += length
    return [*runs, slice(first, len(seq_lens))]
