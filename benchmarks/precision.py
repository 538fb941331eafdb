"""`make precision`: what fp16, bf16 and fp8 do to the scores of a checkpoint with trained weights, simulated on a CPU.

Each precision is emulated as hardware with fp32 accumulators computes it: every result rounded (packed_graph.py), for
fp8 the operands of every projection quantised too (fp8.py). Judged on labelled questions against the same graph in
fp32: the difference of logits, how much of fp32's order is left, and what the labels say of both orders (nDCG@10).
Then fp16 once more with the residual stream scaled up, for models whose activations are larger than this one's. A GPU's
kernels sum in another order, so this is evidence, not the gate.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.machine import machine
from packrank_backend.microbatches import length_sorted_runs
from packrank_backend.packing import PackedPairs, pack, run_inputs
from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.packed_graph import WeightReader, packed_graph
from packrank_build.graph.parity import kendall_tau, parity_requests
from packrank_build.graph.parity_pairs import parity_questions
from packrank_build.make_engine import CALIBRATION_TOKENS
from packrank_build.progress import Progress
from packrank_build.quantize.fp8 import activation_sizes, fp8_graph, with_activation_sizes
from packrank_client.evaluation.dataset import read_dataset
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.first_stage import bm25_run

Simulated = Literal["fp16", "bf16", "fp8"]
SIMULATED: tuple[Simulated, ...] = ("fp16", "bf16", "fp8")
FP16_LARGEST = 65504.0
_FP16 = ir.DataType.FLOAT16.value
RESULTS = Path(__file__).resolve().parent / "results"
FIRST = 10  # of nDCG
SCALED_QUESTIONS = 6
# What the largest |value| of the residual stream is brought to. Models of Llama's kind have a few of 10^2 to 10^3 or a
# little more (Sun et al. 2024, arXiv:2402.17762; Chen et al. 2026, arXiv:2605.15572); the second has ten times that.
RESIDUALS = (1e3, 1e4)
# of each set: questions that are judged, and candidates of each; pages of the last are cut at the limit of a pair
SETS = {"debian-faq-en": (25, 10), "perlfaq": (25, 10), "manual-pages-long": (2, 2)}


@dataclass(frozen=True)
class Labelled:
    """A question with its candidates, and the grade of each: FP32 [passages], 0 is not relevant."""

    question: Question
    grades: NDArray[np.float32]


@dataclass(frozen=True)
class Fidelity:
    """One precision against fp32: Kendall's tau and nDCG@10 of every question, FP64 [questions], and their means.

    `order` is the mean nDCG@10 of fp32's order.
    """

    precision: str
    pairs: int
    not_finite: int
    max_difference: float
    mean_difference: float
    taus: NDArray[np.float64]
    order: float
    ndcgs: NDArray[np.float64]

    @property
    def tau(self) -> float:
        """The mean of `taus`."""
        return float(self.taus.mean())

    @property
    def ndcg(self) -> float:
        """The mean of `ndcgs`."""
        return float(self.ndcgs.mean())


def labelled_questions(directory: Path, count: int, candidates: int) -> list[Labelled]:
    """Seeded questions of a BEIR folder with BM25's best documents, among which a relevant one is."""
    dataset = read_dataset(directory)
    found = []
    for name, hits in bm25_run(dataset, candidates, lambda _: None).items():
        grades = np.array([dataset.qrels[name].get(hit.document, 0) for hit in hits], np.float32)
        if grades.any():
            passages = [dataset.corpus[hit.document] for hit in hits]
            found.append(Labelled(Question(dataset.queries[name], passages), grades))
    chosen = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in chosen[:count]]


def requests_of(tokenizer: Tokenizer, questions: Sequence[Question], max_pair_tokens: int) -> list[PackedPairs]:
    """Each question packed as the server packs it, pairs cut at the limit."""
    return [
        pack([tokenizer.encode(pair_text(q.query, passage)).ids[:max_pair_tokens] for passage in q.passages])
        for q in questions
    ]


def scored(graph: Path, requests: Sequence[PackedPairs], progress: Progress) -> list[NDArray[np.float32]]:
    """Logits of each request by ONNX Runtime, in runs of similar lengths."""
    session = _session(graph)
    answers = []
    for place, request in enumerate(requests, start=1):
        progress.detail(f"question {place} of {len(requests)}")
        pairs = np.split(request.input_ids, np.cumsum(request.seq_lens)[:-1])
        logits = np.empty(len(pairs), np.float32)
        for run in length_sorted_runs(request.seq_lens, 1024, 1 << 24):
            part = pack([pairs[index].tolist() for index in run])
            (logits[run],) = session.run(["logits"], run_inputs([part]))
        answers.append(logits)
    return answers


def _session(graph: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def fidelity(
    precision: str,
    expected: Sequence[NDArray[np.float32]],
    logits: Sequence[NDArray[np.float32]],
    grades: Sequence[NDArray[np.float32]],
) -> Fidelity:
    """Compare the logits of each question with fp32's, and its order with the grades."""
    differences = np.abs(np.concatenate(logits) - np.concatenate(expected))
    # an order can only be taken of finite numbers; those that are not are counted apart
    pairs = [(one, np.nan_to_num(other)) for one, other in zip(expected, logits, strict=True)]
    return Fidelity(
        precision=precision,
        pairs=len(differences),
        not_finite=int((~np.isfinite(np.concatenate(logits))).sum()),
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        taus=np.array([kendall_tau(one, other) for one, other in pairs]),
        order=float(np.mean([ndcg(first_gains(one), other) for one, other in pairs])),
        ndcgs=np.array([ndcg(grade, other) for grade, (_, other) in zip(grades, pairs, strict=True)]),
    )


def first_gains(expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gains 10 to 1 for the first ten of an order: the ideal of which is that very order."""
    gains = np.zeros(len(expected), np.float32)
    gains[np.argsort(-expected, kind="stable")[:FIRST]] = np.arange(FIRST, 0, -1)[: len(expected)]
    return gains


def ndcg(gains: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """nDCG@10 of the order of the logits, with linear gains of which one at least is not 0."""
    discounts = 1 / np.log2(np.arange(2, FIRST + 2))[: len(gains)]
    ranked = gains[np.argsort(-logits, kind="stable")[:FIRST]]
    return float((ranked * discounts).sum() / (np.sort(gains)[::-1][:FIRST] * discounts).sum())


def scaled_residual(weight: WeightReader, factor: float) -> WeightReader:
    """The weights of the same model with a residual stream `factor` times as large.

    Whatever writes to the stream is scaled; whatever reads it does so through a norm, which takes the factor out again.
    """

    def read(name: str) -> NDArray[Any]:
        array = weight(name)
        writes = name.endswith(("embed_tokens.weight", "o_proj.weight", "down_proj.weight"))
        return array * array.dtype.type(factor) if writes else array

    return read


@dataclass(frozen=True)
class Scaled:
    """fp16 with a scaled residual stream: the largest |values| of the stream and of what is rounded to fp16."""

    factor: float
    residual: float
    rounded: float
    fidelity: Fidelity


def scored_with_largest(
    graph: ir.Model, path: Path, requests: Sequence[PackedPairs]
) -> tuple[list[NDArray[np.float32]], float, float]:
    """Logits of each request by a graph that emulates fp16, and the largest |value| of its residual stream, which norms
    read, and of what it rounds to fp16."""
    stream = [node.inputs[0] for node in graph.graph if node.op_type == "RMSNormalization"]
    to_fp16 = [node for node in graph.graph if node.op_type == "Cast" and node.attributes["to"].value == _FP16]
    tape = ir.tape.Tape(graph.graph)
    names = []
    for place, group in enumerate((stream, [node.inputs[0] for node in to_fp16])):
        maxima = [tape.op("ReduceMax", [tape.op("Abs", [value])], {"keepdims": 0}) for value in group]
        largest = tape.op("Max", maxima)
        largest.name = f"largest_{place}"
        largest.type, largest.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
        graph.graph.outputs.append(largest)
        names.append(largest.name)
    ir.save(graph, path, external_data=f"{path.name}.data")
    session = _session(path)
    found = [session.run(["logits", *names], run_inputs([request])) for request in requests]
    logits, residual, rounded = zip(*found, strict=True)
    return list(logits), float(np.max(residual)), float(np.max(rounded))


def scaled_up(
    checkpoint: Checkpoint,
    requests: Sequence[PackedPairs],
    grades: Sequence[NDArray[np.float32]],
    expected: Sequence[NDArray[np.float32]],
    max_pair_tokens: int,
    progress: Progress,
) -> list[Scaled]:
    """fp16 as the model is, and with the residual stream brought to RESIDUALS."""
    results: list[Scaled] = []
    with tempfile.TemporaryDirectory(prefix="packrank-precision-") as work:
        for target in (None, *RESIDUALS):
            factor = 1.0 if target is None else 2.0 ** np.ceil(np.log2(target / results[0].residual))
            progress.step(f"fp16, residual stream x {factor:g}")
            weight = scaled_residual(checkpoint.weight, factor)
            graph = packed_graph(checkpoint.architecture, weight, "fp16", max_pair_tokens, emulate=True)
            logits, largest, rounded = scored_with_largest(graph, Path(work, "scaled.onnx"), requests)
            found = fidelity(f"x {factor:g}", expected, logits, grades)
            results.append(Scaled(factor, largest, rounded, found))
    return results


def simulate(
    checkpoint: Checkpoint,
    calibration: Sequence[PackedPairs],
    requests: Sequence[PackedPairs],
    grades: Sequence[NDArray[np.float32]],
    max_pair_tokens: int,
    progress: Progress,
) -> tuple[list[Fidelity], list[NDArray[np.float32]]]:
    """Every precision's fidelity on the requests, fp32's own first, and fp32's logits."""
    architecture, weight = checkpoint.architecture, checkpoint.weight
    with tempfile.TemporaryDirectory(prefix="packrank-precision-") as work:

        def written(name: str, model: ir.Model) -> Path:
            path = Path(work, f"{name}.onnx")
            ir.save(model, path, external_data=f"{name}.data")
            return path

        progress.step("fp32")
        fp32 = written("fp32", packed_graph(architecture, weight, "fp32", max_pair_tokens))
        expected = scored(fp32, requests, progress)
        progress.step("calibration: the largest activations")
        measuring = with_activation_sizes(packed_graph(architecture, weight, "fp32", max_pair_tokens))
        sizes = activation_sizes(written("measuring", measuring), calibration)
        results = [fidelity("fp32", expected, expected, grades)]
        for precision in SIMULATED:
            progress.step(precision)
            stored = "fp16" if precision == "fp8" else precision
            model = packed_graph(architecture, weight, stored, max_pair_tokens, emulate=True)
            if precision == "fp8":
                model = fp8_graph(model, sizes, ir.DataType.FLOAT)
            results.append(fidelity(precision, expected, scored(written(precision, model), requests, progress), grades))
    return results, expected


def report(results: Sequence[Fidelity], scaled: Sequence[Scaled], heading: str) -> str:
    """The evidence as Markdown."""
    lines = [
        heading,
        "",
        "| precision | pairs | not finite | max Δ logit | mean Δ logit | τ | fp32's order | nDCG@10 | change |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.precision} | {r.pairs} | {r.not_finite} | {r.max_difference:.4f} | {r.mean_difference:.4f} "
        f"| {r.tau:.4f} | {r.order:.4f} | {r.ndcg:.4f} | {r.ndcg - results[0].ndcg:+.4f} |"
        for r in results
    ]
    lines += [
        "",
        "fp16 with the residual stream scaled; fp16 ends at 65,504:",
        "",
        "| stream | its largest value | largest value in fp16 | room | pairs | not finite | max Δ logit | Kendall τ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.fidelity.precision} | {s.residual:,.0f} | {s.rounded:,.0f} | {FP16_LARGEST / s.rounded:.1f} x "
        f"| {s.fidelity.pairs} | {s.fidelity.not_finite} | {s.fidelity.max_difference:.4f} | {s.fidelity.tau:.4f} |"
        for s in scaled
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Command line of `make precision`."""
    parser = argparse.ArgumentParser(prog="make precision", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("sets", type=Path, help="where `make evaluation-sets` wrote them")
    parser.add_argument("--questions", type=int, default=25, help="most of each set; 25 make more than 500 pairs")
    parser.add_argument("--max-pair-tokens", type=int, default=2048)
    options = parser.parse_args()
    limit = options.max_pair_tokens
    try:
        checkpoint = Checkpoint(options.checkpoint)
        tokenizer = tokenizer_from_checkpoint(options.checkpoint, checkpoint.architecture)
        labelled = [
            one
            for name, (count, depth) in SETS.items()
            for one in labelled_questions(options.sets / name, min(count, options.questions), depth)
        ]
    except (UnsupportedCheckpoint, EvaluationError) as error:
        print(f"make precision: {error}", file=sys.stderr)
        return 1
    grades = [one.grades for one in labelled]
    requests = requests_of(tokenizer, [one.question for one in labelled], limit)
    # as `make engine` does it; none of these questions is judged here
    calibration = parity_requests(tokenizer, parity_questions(), min(limit, CALIBRATION_TOKENS))
    results, expected = simulate(checkpoint, calibration, requests, grades, limit, Progress())
    some = slice(0, SCALED_QUESTIONS)
    scaled = scaled_up(checkpoint, requests[some], grades[some], expected[some], limit, Progress())
    lengths = np.concatenate([request.seq_lens for request in requests])
    heading = (
        f"{options.checkpoint}: {len(labelled)} labelled questions, {len(lengths)} pairs of {lengths.min()} to "
        f"{lengths.max()} tokens (median {np.median(lengths):.0f}), simulated on {machine()}."
    )
    RESULTS.mkdir(exist_ok=True)
    text = report(results, scaled, heading)
    (RESULTS / "precision.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nWritten to benchmarks/results/precision.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
