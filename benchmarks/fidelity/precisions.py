"""Score questions in every precision on a CPU: fp32 and int8 as they run, fp16, bf16 and fp8 emulated.

An emulated graph computes in fp32 and rounds every result, as hardware with fp32 accumulators does (packed_graph.py).
fp8 also quantises the operands of every projection (fp8.py). A GPU's kernels sum in another order, so this is
evidence and not the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.cpu_ranker import published_ranker
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import PackedPairs, pack
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import WeightReader, packed_graph
from packrank_build.graph.parity import pairs_of, parity_requests
from packrank_build.graph.parity_pairs import parity_questions
from packrank_build.make_engine import CALIBRATION_TOKENS
from packrank_build.make_model import make_model
from packrank_build.progress import Progress
from packrank_build.quantize.fp8 import activation_sizes, fp8_graph, with_activation_sizes

Compared = Literal["int8", "fp16", "bf16", "fp8"]
COMPARED: tuple[Compared, ...] = get_args(Compared)
RUN_TOKENS, ATTENTION_BYTES = 1024, 1 << 29

Logits = list[NDArray[np.float32]]


class Scorer:
    """Scores one checkpoint's questions in each precision; graphs are written to `work`."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer, max_pair_tokens: int, work: Path) -> None:
        self._checkpoint = checkpoint
        self._tokenizer = tokenizer
        self._max_pair_tokens = max_pair_tokens
        self._work = work
        self._progress = Progress()

    def fp32(self, requests: Sequence[PackedPairs]) -> Logits:
        """Return fp32's logits of each request: FP32 [pairs]."""
        self._progress.step("fp32")
        return self._scored(self._graph("fp32"), requests)

    def scored(self, precision: Compared, requests: Sequence[PackedPairs]) -> Logits:
        """Return the logits of each request in `precision`. Raises ParityError when int8's build is wrong."""
        self._progress.step(precision)
        if precision == "int8":
            return self._int8(requests)
        if precision == "fp8":
            model = fp8_graph(self._graph("fp16"), self._activation_sizes(), ir.DataType.FLOAT)
        else:
            model = self._graph(precision)
        return self._scored(model, requests)

    def fp16_range(self, requests: Sequence[PackedPairs], scale: float) -> tuple[Logits, float, float]:
        """Run fp16 with a residual stream `scale` times as large.

        Returns the logits, the largest |value| of the residual stream, and that of everything rounded to fp16.
        """
        self._progress.step(f"fp16, residual stream × {scale:g}")
        model = self._graph("fp16", scaled_residual(self._checkpoint.weight, scale))
        names = with_largest_values(model)
        session = _session(self._saved(model))
        found = [session.run(["logits", *names], _inputs(request)) for request in requests]
        logits, residual, rounded = zip(*found, strict=True)
        return list(logits), float(np.max(residual)), float(np.max(rounded))

    def _graph(self, precision: Literal["fp32", "fp16", "bf16"], weight: WeightReader | None = None) -> ir.Model:
        architecture = self._checkpoint.architecture
        weight = weight or self._checkpoint.weight
        return packed_graph(architecture, weight, precision, self._max_pair_tokens, emulate=precision != "fp32")

    def _activation_sizes(self) -> dict[str, float]:
        # the questions of `make engine`; none of them is judged here
        limit = min(self._max_pair_tokens, CALIBRATION_TOKENS)
        calibration = parity_requests(self._tokenizer, parity_questions(), limit)
        return activation_sizes(self._saved(with_activation_sizes(self._graph("fp32"))), calibration)

    def _int8(self, requests: Sequence[PackedPairs]) -> Logits:
        source = str(self._checkpoint.directory)
        limit = self._max_pair_tokens
        make_model(source, self._work, precision="int8", max_pair_tokens=limit, progress=self._progress)
        ranker = published_ranker(
            self._work / "ranker" / "1", threads=0, max_run_tokens=RUN_TOKENS, max_attention_bytes=ATTENTION_BYTES
        )
        return [ranker.logits([request])[0] for request in requests]

    def _scored(self, model: ir.Model, requests: Sequence[PackedPairs]) -> Logits:
        session = _session(self._saved(model))
        answers = []
        for place, request in enumerate(requests, start=1):
            self._progress.detail(f"question {place} of {len(requests)}")
            pairs = pairs_of(request)
            logits = np.empty(len(pairs), np.float32)
            for run in length_sorted_runs(request.seq_lens, RUN_TOKENS, 1 << 24):
                part = pack([pairs[index].tolist() for index in run])
                (logits[run],) = session.run(["logits"], _inputs(part))
            answers.append(logits)
        return answers

    def _saved(self, model: ir.Model) -> Path:
        path = self._work / "graph.onnx"
        ir.save(model, path, external_data=f"{path.name}.data")
        return path


def scaled_residual(weight: WeightReader, scale: float) -> WeightReader:
    """Read the weights of the same function with a residual stream `scale` times as large.

    What writes to the stream is scaled. What reads it does so through a norm, which removes the factor.
    """

    def read(name: str) -> NDArray[Any]:
        array = weight(name)
        writes = name.endswith(("embed_tokens.weight", "o_proj.weight", "down_proj.weight"))
        return array * array.dtype.type(scale) if writes else array

    return read


def with_largest_values(model: ir.Model) -> list[str]:
    """Add two outputs FP32 []: the largest |value| that norms read, and that of everything cast to fp16."""
    stream = [node.inputs[0] for node in model.graph if node.op_type == "RMSNormalization"]
    to_fp16 = [node.inputs[0] for node in model.graph if _casts_to(node, ir.DataType.FLOAT16)]
    tape = ir.tape.Tape(model.graph)
    for name, group in (("largest_residual", stream), ("largest_rounded", to_fp16)):
        maxima = [tape.op("ReduceMax", [tape.op("Abs", [value])], {"keepdims": 0}) for value in group]
        largest = tape.op("Max", maxima)
        largest.name, largest.type, largest.shape = name, ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
        model.graph.outputs.append(largest)
    return ["largest_residual", "largest_rounded"]


def _casts_to(node: ir.Node, dtype: ir.DataType) -> bool:
    return node.op_type == "Cast" and bool(node.attributes["to"].value == dtype.value)


def _session(graph: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _inputs(request: PackedPairs) -> dict[str, NDArray[np.int32]]:
    inputs = {"input_ids": request.input_ids, "seq_lens": request.seq_lens, "max_len": request.longest}
    return inputs | {"longest": np.zeros(1, np.int32)}
