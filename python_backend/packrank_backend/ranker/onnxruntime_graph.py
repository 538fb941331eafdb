"""The packed graph on ONNX Runtime's CPU kernels: every precision but bf16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from packrank_backend.packing import Tensors


class OnnxRuntimeGraph:
    """One session. `threads` is the intra-op thread count; 0 means one per physical core."""

    def __init__(self, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads that spin would take the cores from the tokenizer, which runs at the same time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Shapes differ from run to run, so a planned arena would only keep the largest batch ever seen.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, output: str, inputs: Tensors) -> NDArray[np.float32]:
        """One run of the graph; `inputs` are those of `packing.run_inputs`."""
        result: NDArray[np.float32] = self._session.run([output], inputs)[0]
        return result
