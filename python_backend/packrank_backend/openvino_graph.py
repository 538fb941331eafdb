"""The packed graph in bf16 on OpenVINO, whose kernels use a processor's own bf16 instructions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packrank_backend.processor import has_native_bf16


def why_not_bf16() -> str | None:
    """Say why a bf16 model cannot be served here; None if it can."""
    if not has_native_bf16():
        return "this processor has no bf16 instructions (AVX512-BF16 or AMX)"
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is not installed; `make openvino` installs it"
    return None


def openvino_graph(model: Path, threads: int) -> Callable[[Mapping[str, NDArray[np.int32]]], NDArray[np.float32]]:
    """Compile the graph: a function from the inputs of one run to its logits, FP32 [pairs].

    `threads` of 0 means one for each physical core. Without bf16 instructions OpenVINO computes in fp32.
    """
    import openvino  # noqa: PLC0415 - an optional package

    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(inputs: Mapping[str, NDArray[np.int32]]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = request.infer(inputs)["logits"].copy()
        return logits

    return run
