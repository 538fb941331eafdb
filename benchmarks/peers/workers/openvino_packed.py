"""packrank's packed graph in OpenVINO, in the same length-sorted runs as in ONNX Runtime. In .venv-peers-openvino.

    python -m benchmarks.peers.workers.openvino_packed <directory> --precision int8 --quantise

writes the int8 graph that the worker loads: NNCF's static quantisation for transformers, with the product's
calibration pairs. The directory has model.onnx, tokenizer.json and calibration.json, a list of token ids for each pair.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from tokenizers import Tokenizer

from benchmarks.peers.workers.answering import Pair, Score, answer_questions
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import pack, run_inputs

MAX_ATTENTION_WEIGHTS = 1 << 23  # pairs x longest^2: 512 MiB of attention weights at 16 heads in fp32
# bf16 is OpenVINO's own rounding of the fp32 graph; what int8 leaves is fp32
PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
GRAPHS = {"fp32": "model.onnx", "bf16": "model.onnx", "int8": "int8.xml"}


def quantise(directory: Path) -> None:
    """Write int8.xml."""
    import nncf  # noqa: PLC0415 - takes seconds, and only this needs it

    pairs = json.loads((directory / "calibration.json").read_text(encoding="utf-8"))
    quantised: Any = nncf.quantize(
        openvino.Core().read_model(directory / "model.onnx"),
        nncf.Dataset(pairs, lambda pair: run_inputs([pack([pair])])),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pairs),
    )
    openvino.save_model(quantised, directory / GRAPHS["int8"], compress_to_fp16=False)


def loaded(directory: Path, precision: str, max_run_tokens: int) -> Score:
    """The compiled graph, ready to score."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    hints = {"INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(directory / GRAPHS[precision]), "CPU", hints).create_infer_request()

    def score(pairs: list[Pair]) -> list[float]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(["".join(pair) for pair in pairs])]
        logits = np.empty(len(ids), np.float32)
        for run in length_sorted_runs(np.array([len(pair) for pair in ids]), max_run_tokens, MAX_ATTENTION_WEIGHTS):
            logits[run] = request.infer(run_inputs([pack([ids[pair] for pair in run])]))["logits"]
        return [float(logit) for logit in logits]

    return score


def main() -> None:
    """Answer until standard input ends, or quantise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--precision", choices=GRAPHS, required=True)
    parser.add_argument("--max-run-tokens", type=int, default=1024)
    parser.add_argument("--quantise", action="store_true")
    options = parser.parse_args()
    if options.quantise:
        quantise(options.directory)
    else:
        answer_questions(lambda: loaded(options.directory, options.precision, options.max_run_tokens))


if __name__ == "__main__":
    main()
