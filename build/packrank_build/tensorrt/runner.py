"""Runs a plan directly on the GPU, as Triton would: what the parity gate judges.

It needs `tensorrt` and `cuda-bindings`, which only a GPU machine has. No GPU has run this file yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packrank_backend.packing import PackedPairs, run_inputs
from packrank_build.tensorrt.log import BuildMessages, EngineError, trt_logger
from packrank_build.tensorrt.profile_choice import first_batch, profile_of_batch
from packrank_build.tensorrt.targets import MAX_REQUESTS, Target


def engine_information(trt: Any, plan: bytes) -> str:
    """Ask TensorRT's engine inspector for the layers of a plan, as JSON. Raises EngineError if it cannot be loaded."""
    messages = BuildMessages()
    engine = trt.Runtime(trt_logger(trt, messages)).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"TensorRT cannot load the plan that it built: {messages.reason()}")
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


class EngineRun:
    """A plan on the GPU: one execution context, one stream, one run at a time.

    `trt` is the module `tensorrt`. Raises EngineError when the plan cannot be loaded or a run fails.
    """

    def __init__(self, trt: Any, plan: bytes) -> None:
        self._cuda = importlib.import_module("cuda.bindings.runtime")
        self._stream = self._checked(self._cuda.cudaStreamCreate())
        messages = BuildMessages()
        self._runtime = trt.Runtime(trt_logger(trt, messages))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load the plan that it built: {messages.reason()}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        shape_tensors = [name for name in names if self._engine.is_shape_inference_io(name)]
        if shape_tensors:
            raise EngineError(
                f"{', '.join(shape_tensors)} became shape tensors, which Triton cannot fill from a batch."
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"no execution context could be created: {messages.reason()}")

    def logits(self, inputs: Mapping[str, NDArray[np.int32]], profile: int | None) -> NDArray[np.float32]:
        """Run once in a profile: logits FP32 [pairs]. A `profile` of None means that the batch fits none."""
        if profile is None or not self._context.set_optimization_profile_async(profile, self._stream):
            raise EngineError(
                f"no profile of the engine holds a batch of {[array.shape for array in inputs.values()]}."
            )
        logits = np.empty(len(inputs["seq_lens"]), np.float32)
        buffers: list[Any] = []
        try:
            for name, array in inputs.items():
                if not self._context.set_input_shape(name, array.shape):
                    raise EngineError(f"the engine refuses {name} with shape {array.shape} in profile {profile}.")
                self._context.set_tensor_address(name, self._copied(array, buffers))
            output = self._allocated(logits.nbytes, buffers)
            self._context.set_tensor_address("logits", output)
            if not self._context.execute_async_v3(self._stream):
                raise EngineError("the engine's run failed.")
            to_host = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._checked(self._cuda.cudaMemcpyAsync(logits.ctypes.data, output, logits.nbytes, to_host, self._stream))
            self._checked(self._cuda.cudaStreamSynchronize(self._stream))
        finally:
            for buffer in buffers:
                self._cuda.cudaFree(buffer)
        return logits

    def _allocated(self, size: int, buffers: list[Any]) -> int:
        buffers.append(self._checked(self._cuda.cudaMalloc(size)))
        return int(buffers[-1])

    def _copied(self, array: NDArray[np.int32], buffers: list[Any]) -> int:
        address = self._allocated(array.nbytes, buffers)
        to_device = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._checked(self._cuda.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, to_device, self._stream))
        return address

    def _checked(self, result: tuple[Any, ...]) -> Any:
        """Return the value of a CUDA call, whose first element is its error."""
        if int(result[0]) != 0:
            raise EngineError(f"CUDA: {result[0].name}")
        return result[1] if len(result) > 1 else None


class EngineRanker:
    """Scores requests with a plan of packed pairs, merged as the server merges them."""

    def __init__(self, trt: Any, plan: bytes, target: Target) -> None:
        self._target = target
        self._run = EngineRun(trt, plan)

    def logits(self, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
        """Score each request: FP32 [pairs] per request."""
        sizes = [(len(r.input_ids), len(r.seq_lens), r.max_len) for r in requests]
        answers: list[NDArray[np.float32]] = []
        while len(answers) < len(requests):
            start = len(answers)
            count = first_batch(sizes[start:], self._target.batch, MAX_REQUESTS)
            batch = requests[start : start + count]
            inputs = run_inputs(batch)
            profile = profile_of_batch(
                self._target.profiles, len(inputs["input_ids"]), len(inputs["seq_lens"]), len(inputs["max_len_carrier"])
            )
            scored = self._run.logits(inputs, profile)
            answers += np.split(scored, np.cumsum([len(request.seq_lens) for request in batch])[:-1])
        return answers
