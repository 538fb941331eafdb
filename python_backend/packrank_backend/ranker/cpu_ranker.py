"""The ranker on a CPU: the packed graph in length-sorted micro-batches, on ONNX Runtime or, in bf16, on OpenVINO."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from packrank_backend.build_record import BuildRecord, StaleBuild, read_build_record
from packrank_backend.deadlines import has_passed
from packrank_backend.errors import InvalidRequest, expired_request
from packrank_backend.packing import PackedPairs, check_packing, run_inputs
from packrank_backend.ranker.microbatches import length_sorted_runs
from packrank_backend.ranker.onnxruntime_graph import OnnxRuntimeGraph
from packrank_backend.ranker.openvino_graph import OpenVinoGraph, why_not_bf16

MODEL_FILE = "model.onnx"


def published_ranker(
    version_directory: Path, *, threads: int, max_run_tokens: int, max_attention_bytes: int
) -> CpuRanker:
    """Load the ranker of a version directory of the model repository.

    Raises StaleBuild when this code cannot run it on a CPU.
    """
    record = read_build_record(version_directory)
    reason = why_not_bf16() if record.precision == "bf16" else None
    if reason:
        raise StaleBuild(f"the published model is bf16, but {reason}. Or run `make model PRECISION=fp32`.")
    return CpuRanker(
        version_directory / MODEL_FILE,
        record,
        threads=threads,
        max_run_tokens=max_run_tokens,
        max_attention_bytes=max_attention_bytes,
    )


class CpuRanker:
    """Scores packed pairs; one instance serves one Triton model instance.

    `threads` is the runtime's thread count; 0 means one per physical core. `max_run_tokens` and
    `max_attention_bytes` bound one run of the graph: its padded tokens, and the FP32 attention weights of one layer.
    `emulated`: `model` computes bf16 by rounding fp32, so that ONNX Runtime can run it.
    """

    def __init__(
        self,
        model: Path,
        record: BuildRecord,
        *,
        threads: int,
        max_run_tokens: int,
        max_attention_bytes: int,
        emulated: bool = False,
    ) -> None:
        self.record = record
        self._vocab_size = int(self.record.architecture["vocab_size"])
        self._max_run_tokens = max_run_tokens
        self._max_attention_weights = max_attention_bytes // (4 * int(self.record.architecture["heads"]))
        graph_type = OpenVinoGraph if record.precision == "bf16" and not emulated else OnnxRuntimeGraph
        self._graph: OpenVinoGraph | OnnxRuntimeGraph = graph_type(model, threads)

    def check(self, packed: PackedPairs) -> None:
        """Refuse a request whose tensors contradict each other: InvalidRequest(INVALID_PACKING)."""
        check_packing(packed, self._vocab_size, self.record.max_pair_tokens)

    def logits(self, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
        """Score all requests together: FP32 [pairs] per request. Every request must have passed `check`."""
        rows, _ = self._scored(requests, clock_ns=lambda: 0)  # before any deadline
        return rows

    def answers(
        self, requests: Sequence[PackedPairs], clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> list[NDArray[np.float32] | InvalidRequest]:
        """Score as `logits` does, but drop requests whose deadline passes.

        Their remaining pairs are not computed, and InvalidRequest(DEADLINE_EXCEEDED) is their answer.
        """
        rows, wanted = self._scored(requests, clock_ns)
        return [row if kept else expired_request() for row, kept in zip(rows, wanted, strict=True)]

    def _scored(
        self, requests: Sequence[PackedPairs], clock_ns: Callable[[], int]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
        """Logits of each request, and whether it was wanted to the end: asked before each run of the graph."""
        input_ids = np.concatenate([request.input_ids for request in requests])
        seq_lens = np.concatenate([request.seq_lens for request in requests])
        ends = np.cumsum(seq_lens)
        counts = [len(request.seq_lens) for request in requests]
        owners = np.repeat(np.arange(len(requests)), counts)
        wanted = np.ones(len(requests), np.bool_)
        logits = np.empty(len(seq_lens), np.float32)
        for run in length_sorted_runs(seq_lens, self._max_run_tokens, self._max_attention_weights):
            now_ns = clock_ns()
            wanted &= [not has_passed(request.deadline, now_ns) for request in requests]
            run = run[wanted[owners[run]]]  # noqa: PLW2901 (the rest of the run)
            if not run.size:
                continue
            tokens = np.concatenate([input_ids[ends[pair] - seq_lens[pair] : ends[pair]] for pair in run])
            logits[run] = self._graph.run("logits", run_inputs([PackedPairs(tokens, seq_lens[run])]))
        return np.split(logits, np.cumsum(counts)[:-1]), wanted
