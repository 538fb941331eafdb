"""Score pairs in a process of its own, usually in a peer's environment.

    python -m benchmarks.peers.worker <kind> <source> <precision> <batch>

`source` is packrank's repository, OpenVINO's folder of graphs, or the peers' checkpoint. `batch` is padded tokens per
run for packrank's graph, else pairs per batch. Each line {"pairs": [[head, passage], ...]} of standard input is
answered with {"seconds": s, "scores": [...]}; head + passage is the text of the pair. Other output goes to stderr.
"""
# Each loader imports what only its own environment has.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Score = Callable[[list[Sequence[str]]], list[float]]

TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
# OpenVINO rounds the fp32 graph to bf16 itself; the int8 graph leaves the rest in fp32
OPENVINO_GRAPHS = {"fp32": ("model.onnx", "f32"), "bf16": ("model.onnx", "bf16"), "int8": ("int8.xml", "f32")}
MAX_ATTENTION_WEIGHTS = 1 << 23  # per head, pairs × longest²: 512 MiB with 16 heads in fp32


def packed(source: Path, _precision: str, batch: int) -> Score:
    """Load packrank without a server: the tokenizer's and the ranker's code, as Triton's models call it."""
    from tokenizers import Tokenizer

    from packrank_backend.packing import pack
    from packrank_backend.ranker.cpu_ranker import published_ranker

    tokenizer = Tokenizer.from_file(str(source / "tokenizer" / "1" / "tokenizer.json"))
    version = source / "ranker" / "1"
    ranker = published_ranker(version, threads=0, max_run_tokens=batch, max_attention_bytes=1 << 29)

    def score(pairs: list[Sequence[str]]) -> list[float]:
        (logits,) = ranker.logits([pack([e.ids for e in tokenizer.encode_batch_fast(["".join(p) for p in pairs])])])
        return [float(logit) for logit in logits]

    return score


def openvino(source: Path, precision: str, batch: int) -> Score:
    """Load packrank's packed graph in OpenVINO, with the same length-sorted runs as in ONNX Runtime."""
    import numpy as np
    import openvino
    from tokenizers import Tokenizer

    from packrank_backend.packing import pack, run_inputs
    from packrank_backend.ranker.microbatches import length_sorted_runs

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    graph, hint = OPENVINO_GRAPHS[precision]
    hints = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(source / graph), "CPU", hints).create_infer_request()

    def score(pairs: list[Sequence[str]]) -> list[float]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(["".join(pair) for pair in pairs])]
        logits = np.empty(len(ids), np.float32)
        for run in length_sorted_runs(np.array([len(pair) for pair in ids]), batch, MAX_ATTENTION_WEIGHTS):
            logits[run] = request.infer(run_inputs([pack([ids[pair] for pair in run])]))["logits"]
        return [float(logit) for logit in logits]

    return score


def quantize_for_openvino(source: Path) -> None:
    """Write int8.xml as OpenVINO's users do: NNCF's static quantisation on calibration.json, token ids per pair."""
    import nncf
    import openvino

    from packrank_backend.packing import pack, run_inputs

    pairs = json.loads((source / "calibration.json").read_text(encoding="utf-8"))
    quantized: Any = nncf.quantize(
        openvino.Core().read_model(source / "model.onnx"),
        nncf.Dataset(pairs, lambda pair: run_inputs([pack([pair])])),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pairs),
    )
    openvino.save_model(quantized, source / "int8.xml", compress_to_fp16=False)


def cross_encoder(source: Path, precision: str, batch: int) -> Score:
    """Load sentence-transformers' CrossEncoder, which sorts by length and pads each batch."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(
        str(source),
        device="cpu",
        trust_remote_code=True,
        activation_fn=torch.nn.Identity(),
        model_kwargs={"dtype": getattr(torch, TORCH_DTYPES[precision])},
    )

    def score(pairs: list[Sequence[str]]) -> list[float]:
        texts = [tuple(pair) for pair in pairs]
        return [float(s) for s in model.predict(texts, batch_size=batch, show_progress_bar=False)]

    return score


def huggingface(source: Path, precision: str, batch: int) -> Score:
    """Load transformers as model cards show it: padded batches in the order given."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    dtype = getattr(torch, TORCH_DTYPES[precision])
    model = AutoModelForSequenceClassification.from_pretrained(source, trust_remote_code=True, dtype=dtype).eval()

    def score(pairs: list[Sequence[str]]) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(pairs), batch):
            texts = ["".join(pair) for pair in pairs[start : start + batch]]
            with torch.inference_mode():
                logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
            scores += logits[:, 0].float().tolist()
        return scores

    return score


LOADERS = {"packed": packed, "openvino": openvino, "cross_encoder": cross_encoder, "huggingface": huggingface}


def main() -> None:
    """Answer until standard input ends, or quantise for OpenVINO."""
    kind, source, *rest = sys.argv[1:]
    if kind == "quantize":
        quantize_for_openvino(Path(source))
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    score = LOADERS[kind](Path(source), rest[0], int(rest[1]))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        pairs = json.loads(line)["pairs"]
        start = time.perf_counter()
        scores = score(pairs)
        print(json.dumps({"seconds": time.perf_counter() - start, "scores": scores}), file=answers, flush=True)


if __name__ == "__main__":
    main()
