"""`make precision`: what fp16, bf16 and fp8 do to the scores of a checkpoint with trained weights, simulated on a CPU.

Each precision is emulated as hardware with fp32 accumulators computes it: every result rounded (packed_graph.py), for
fp8 the operands of every projection quantised too (fp8.py). Judged against the same graph in fp32: the difference of
logits, and how much of fp32's order is left. A GPU's kernels sum in another order, so this is evidence, not the gate.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.machine import machine
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import PackedPairs, pack
from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_build.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint import Checkpoint
from packrank_build.fp8 import activation_sizes, fp8_graph, with_activation_sizes
from packrank_build.packed_graph import packed_graph
from packrank_build.parity_gate import kendall_tau
from packrank_build.parity_pairs import declaration_articles
from packrank_build.progress import Progress
from packrank_build.tokenizer_file import tokenizer_from_checkpoint

Simulated = Literal["fp16", "bf16", "fp8"]
SIMULATED: tuple[Simulated, ...] = ("fp16", "bf16", "fp8")
FP16_LARGEST = 65504.0
RESULTS = Path(__file__).resolve().parent / "results"
PASSAGES = 20
CALIBRATION_QUESTIONS = 8
FIRST = 10  # of nDCG


@dataclass(frozen=True)
class Fidelity:
    """One precision against fp32. `tau` and `ndcg` are means over questions."""

    precision: str
    pairs: int
    not_finite: int
    max_difference: float
    mean_difference: float
    tau: float
    ndcg: float


def precision_questions(seed: int = 0) -> list[Question]:
    """26 questions with 20 passages each; in each one long passage of several hundred words.

    In the languages of Latin script only: an English tokenizer spends many tokens on the others, which costs time.
    """
    random = np.random.default_rng(seed)
    texts = [
        articles[number]
        for articles in declaration_articles().values()
        for number in ("1", "3", "26")
        if len(articles["26"].encode()) < 1.1 * len(articles["26"])
    ]
    questions = []
    for _ in range(26):
        query, *passages = (texts[place] for place in random.choice(len(texts), PASSAGES, replace=False))
        long = " ".join(texts[place] for place in random.choice(len(texts), 5, replace=False))
        questions.append(Question(query[:100], [*passages, long]))
    return questions


def requests_of(tokenizer: Tokenizer, questions: Sequence[Question], max_pair_tokens: int) -> list[PackedPairs]:
    """Each question packed as the server packs it, pairs cut at the limit."""
    return [
        pack([tokenizer.encode(pair_text(q.query, passage)).ids[:max_pair_tokens] for passage in q.passages])
        for q in questions
    ]


def scored(graph: Path, requests: Sequence[PackedPairs]) -> list[NDArray[np.float32]]:
    """Logits of each request by ONNX Runtime, in runs of similar lengths."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    answers = []
    for request in requests:
        pairs = np.split(request.input_ids, np.cumsum(request.seq_lens)[:-1])
        logits = np.empty(len(pairs), np.float32)
        for run in length_sorted_runs(request.seq_lens, 1024, 1 << 24):
            part = pack([pairs[index].tolist() for index in run])
            inputs = {"input_ids": part.input_ids, "seq_lens": part.seq_lens, "max_len": part.longest}
            inputs["longest"] = np.zeros(1, np.int32)
            (logits[run],) = session.run(["logits"], inputs)
        answers.append(logits)
    return answers


def fidelity(
    precision: str, expected: Sequence[NDArray[np.float32]], logits: Sequence[NDArray[np.float32]]
) -> Fidelity:
    """Compare the logits of each question with fp32's."""
    differences = np.abs(np.concatenate(logits) - np.concatenate(expected))
    # an order can only be taken of finite numbers; those that are not are counted apart
    pairs = [(one, np.nan_to_num(other)) for one, other in zip(expected, logits, strict=True)]
    return Fidelity(
        precision=precision,
        pairs=len(differences),
        not_finite=int((~np.isfinite(np.concatenate(logits))).sum()),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        tau=float(np.mean([kendall_tau(one, other) for one, other in pairs])),
        ndcg=float(np.mean([ndcg_of_order(one, other) for one, other in pairs])),
    )


def ndcg_of_order(expected: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """nDCG@10 of an order where the first ten of the expected order have the gains 10 to 1: 1 is the same order.

    Without relevance labels this is how much of fp32's ranking is left, not how good either ranking is.
    """
    gains = np.zeros(len(expected))
    gains[np.argsort(-expected, kind="stable")[:FIRST]] = np.arange(FIRST, 0, -1)[: len(expected)]
    discounts = 1 / np.log2(np.arange(2, FIRST + 2))[: len(expected)]
    ranked = gains[np.argsort(-logits, kind="stable")[:FIRST]]
    return float((ranked * discounts).sum() / (np.sort(gains)[::-1][:FIRST] * discounts).sum())


def simulate(
    checkpoint: Checkpoint,
    calibration: Sequence[PackedPairs],
    requests: Sequence[PackedPairs],
    max_pair_tokens: int,
    progress: Progress,
) -> tuple[list[Fidelity], float]:
    """Every precision's fidelity on the requests, and the largest |activation| of the calibration in fp32."""
    architecture, weight = checkpoint.architecture, checkpoint.weight
    with tempfile.TemporaryDirectory(prefix="packrank-precision-") as work:

        def written(name: str, model: ir.Model) -> Path:
            path = Path(work, f"{name}.onnx")
            ir.save(model, path, external_data=f"{name}.data")
            return path

        progress.step("fp32")
        fp32 = written("fp32", packed_graph(architecture, weight, "fp32", max_pair_tokens))
        expected = scored(fp32, requests)
        progress.step("calibration: the largest activations")
        measuring = with_activation_sizes(packed_graph(architecture, weight, "fp32", max_pair_tokens))
        sizes = activation_sizes(written("measuring", measuring), calibration)
        results = []
        for precision in SIMULATED:
            progress.step(precision)
            stored = "fp16" if precision == "fp8" else precision
            model = packed_graph(architecture, weight, stored, max_pair_tokens, emulate=True)
            if precision == "fp8":
                model = fp8_graph(model, sizes, ir.DataType.FLOAT)
            results.append(fidelity(precision, expected, scored(written(precision, model), requests)))
    return results, max(sizes.values())


def report(results: Sequence[Fidelity], largest: float, heading: str) -> str:
    """The evidence as Markdown."""
    lines = [
        heading,
        "",
        "| precision | pairs | not finite | max Δ logit | mean Δ logit | Kendall τ | nDCG@10 of fp32's order |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.precision} | {r.pairs} | {r.not_finite} | {r.max_difference:.4f} | {r.mean_difference:.4f} "
        f"| {r.tau:.4f} | {r.ndcg:.4f} |"
        for r in results
    ]
    lines += [
        "",
        f"Largest |activation| that a projection read while calibrating: {largest:.1f}; fp16 ends at "
        f"{FP16_LARGEST:.0f}, {FP16_LARGEST / largest:.0f} times as much.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Command line of `make precision`."""
    parser = argparse.ArgumentParser(prog="make precision", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--max-pair-tokens", type=int, default=2048)
    options = parser.parse_args()
    try:
        checkpoint = Checkpoint(options.checkpoint)
        tokenizer = tokenizer_from_checkpoint(options.checkpoint, checkpoint.architecture)
    except UnsupportedCheckpoint as error:
        print(f"make precision: {error}", file=sys.stderr)
        return 1
    requests = requests_of(tokenizer, precision_questions(), options.max_pair_tokens)
    others = precision_questions(seed=1)[:CALIBRATION_QUESTIONS]
    calibration = requests_of(tokenizer, others, options.max_pair_tokens)
    results, largest = simulate(checkpoint, calibration, requests, options.max_pair_tokens, Progress())
    lengths = np.concatenate([request.seq_lens for request in requests])
    heading = (
        f"{options.checkpoint}: {len(lengths)} pairs of {lengths.min()} to {lengths.max()} tokens "
        f"(median {np.median(lengths):.0f}), simulated on {machine()}."
    )
    RESULTS.mkdir(exist_ok=True)
    text = report(results, largest, heading)
    (RESULTS / "precision.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nWritten to benchmarks/results/precision.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
