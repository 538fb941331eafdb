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

from packrank_backend.packing import PackedPairs, pack, run_inputs
from packrank_backend.ranker.cpu_ranker import published_ranker
from packrank_backend.ranker.microbatches import length_sorted_runs
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.packed_graph import packed_graph
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

    def logits(self, precision: Compared | Literal["fp32"], requests: Sequence[PackedPairs]) -> Logits:
        """Return the logits of each request, FP32 [pairs]. Raises ParityError when int8's build is wrong."""
        self._progress.step(precision)
        if precision == "int8":
            return self._int8(requests)
        if precision == "fp8":
            model = fp8_graph(self._graph("fp16"), self._activation_sizes(), ir.DataType.FLOAT)
        else:
            model = self._graph(precision)
        return self._scored(model, requests)

    def _graph(self, precision: Literal["fp32", "fp16", "bf16"]) -> ir.Model:
        architecture, weight = self._checkpoint.architecture, self._checkpoint.weight
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
                (logits[run],) = session.run(["logits"], run_inputs([part]))
            answers.append(logits)
        return answers

    def _saved(self, model: ir.Model) -> Path:
        path = self._work / "graph.onnx"
        ir.save(model, path, external_data=f"{path.name}.data")
        return path


def _session(graph: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
