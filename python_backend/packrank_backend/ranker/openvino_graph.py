"""The packed graph in bf16 on OpenVINO, whose kernels use the processor's own bf16 instructions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packrank_backend.packing import Tensors
from packrank_backend.ranker.processor import has_native_bf16

# The kernels sum attention over blocks of keys, and an incomplete block in another order. A pair scores the same in any
# batch only if its keys fill whole blocks, so pairs are padded to a multiple of AMX's tile of 32 bf16 keys.
KEY_BLOCK_TOKENS = 32


def why_not_bf16() -> str | None:
    """Say why this machine cannot serve a bf16 model; None if it can."""
    if not has_native_bf16():
        return "this processor has no bf16 instructions (AVX512-BF16 or AMX)"
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is not installed; `make openvino` installs it"
    return None


class OpenVinoGraph:
    """One compiled graph. `threads` of 0 means one per physical core.

    Where the processor has no bf16 instructions, OpenVINO computes in fp32.
    """

    def __init__(self, model: Path, threads: int, outputs: tuple[str, ...] = ()) -> None:
        import openvino  # noqa: PLC0415 - an optional package

        core = openvino.Core()
        graph = core.read_model(model)
        graph.add_outputs(list(outputs))
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._request = core.compile_model(graph, "CPU", settings).create_infer_request()

    def run(self, output: str, inputs: Tensors) -> NDArray[np.float32]:
        """One run of the graph; `inputs` are those of `packing.run_inputs`."""
        blocks = -(-len(inputs["max_len"]) // KEY_BLOCK_TOKENS)
        padded = inputs | {"max_len": np.zeros(blocks * KEY_BLOCK_TOKENS, np.int32)}
        result: NDArray[np.float32] = self._request.infer(padded)[output].copy()
        return result
