"""`make bench-precisions`: what int8 gains and loses against fp32 on a CPU, with one checkpoint and labelled questions.

The questions are those of the held-out sets whose right answer is among BM25's best passages. Leaves
benchmarks/results/cpu_precisions.csv and .md. Runs in process: no server, no tokenizer in the measured time.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.gemm_peak import gemm_peak_gops
from benchmarks.machine import machine
from benchmarks.precision import fidelity as fidelity_of
from benchmarks.precision import labelled_questions, requests_of
from packrank_backend.build_record import read_build_record
from packrank_backend.cpu_ranker import CpuRanker
from packrank_backend.packing import PackedPairs
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.graph.parity import ParityError
from packrank_build.make_model import ModelPrecision, make_model
from packrank_build.progress import Progress
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.measures import estimate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PRECISIONS: tuple[ModelPrecision, ...] = ("fp32", "int8")
# The fidelity gate: what a precision must surely keep of fp32's ranking to become the default.
LEAST_KENDALL_TAU = 0.98
LARGEST_NDCG_LOSS = 0.005
SETS = ("debian-faq-en", "perlfaq")
CANDIDATES = 20
ROUNDS = 3

Logits = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Judged:
    """The questions as packed requests, and the grades of each one's passages: FP32 [passages]."""

    requests: list[PackedPairs]
    grades: list[NDArray[np.float32]]

    @property
    def tokens(self) -> int:
        """Tokens of all pairs."""
        return sum(request.input_ids.size for request in self.requests)


def fidelity(reference: Logits, measured: Logits, grades: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """How far a precision's ranking is from the reference's, as columns of the table (precision.py).

    "from" and "to" bound the 95 % bootstrap interval over questions of the column before them.
    """
    own, found = (fidelity_of("", reference, logits, grades) for logits in (reference, measured))
    tau, change = estimate(found.taus), estimate(found.ndcgs - own.ndcgs)
    return {
        "Kendall tau": round(tau.mean, 4),
        "tau from": round(tau.low, 4),
        "tau to": round(tau.high, 4),
        "nDCG@10": round(found.ndcg, 4),
        "nDCG@10 - fp32": round(change.mean, 4),
        "change from": round(change.low, 4),
        "change to": round(change.high, 4),
        "max |logit difference|": round(found.max_difference, 4),
    }


def verdict(row: dict[str, Any]) -> str:
    """The fidelity gate: by the means, and by the ends of their intervals that would speak against the precision."""

    def within(tau: str, change: str) -> bool:
        return bool(row[tau] >= LEAST_KENDALL_TAU and row[change] >= -LARGEST_NDCG_LOSS)

    if not within("Kendall tau", "nDCG@10 - fp32"):
        return "does not pass"
    return "passes" if within("tau from", "change from") else "passes by its means, but may be outside"


def measure(rankers: dict[ModelPrecision, CpuRanker], judged: Judged) -> list[dict[str, Any]]:
    """One row for each precision: the fastest of several alternating rounds, and fidelity against the first."""
    seconds: dict[ModelPrecision, float] = dict.fromkeys(rankers, float("inf"))
    logits: dict[ModelPrecision, Logits] = {}
    for ranker in rankers.values():
        ranker.logits(judged.requests[:1])
    for _ in range(ROUNDS):
        for precision, ranker in rankers.items():
            start = time.perf_counter()
            logits[precision] = [ranker.logits([request])[0] for request in judged.requests]
            seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    rows = []
    for precision, ranker in rankers.items():
        shape = ranker.record.architecture
        peak = gemm_peak_gops(precision, int(shape["hidden_size"]), int(shape["intermediate_size"]))
        reached = 2 * projection_weights(shape) * judged.tokens / seconds[precision] / 1e9
        rows.append(
            {
                "precision": precision,
                "tokens/s": round(judged.tokens / seconds[precision]),
                "x fp32": round(seconds["fp32"] / seconds[precision], 2),
                "GOP/s": round(reached),
                "GEMM peak GOP/s": round(peak),
                "% of peak": round(100 * reached / peak),
                **fidelity(logits["fp32"], logits[precision], judged.grades),
            }
        )
    return rows


def projection_weights(shape: dict[str, Any]) -> int:
    """Weights that every token is multiplied with (attention's own products apart)."""
    width, query = int(shape["hidden_size"]), int(shape["heads"]) * int(shape["head_dim"])
    key = int(shape["kv_heads"]) * int(shape["head_dim"])
    return int(shape["layers"]) * width * (2 * query + 2 * key + 3 * int(shape["intermediate_size"]))


def main() -> int:
    """Command line of `make bench-precisions`."""
    parser = argparse.ArgumentParser(prog="make bench-precisions", description=__doc__)
    parser.add_argument("--model", required=True, help="checkpoint directory or hub id")
    parser.add_argument("sets", type=Path, help="where `make evaluation-sets` wrote them")
    parser.add_argument("--questions", type=int, default=50, help="most of each set")
    parser.add_argument("--max-pair-tokens", type=int, default=512)
    options = parser.parse_args()
    progress = Progress()
    rankers: dict[ModelPrecision, CpuRanker] = {}
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        try:
            questions = [
                one for name in SETS for one in labelled_questions(options.sets / name, options.questions, CANDIDATES)
            ]
            for precision in PRECISIONS:
                repository = Path(work, precision)
                repository.mkdir()
                make_model(
                    options.model,
                    repository,
                    precision=precision,
                    max_pair_tokens=options.max_pair_tokens,
                    progress=progress,
                )
                version = repository / "ranker" / "1"
                rankers[precision] = CpuRanker(
                    version / "model.onnx",
                    read_build_record(version),
                    threads=0,
                    max_run_tokens=1024,
                    max_attention_bytes=1 << 29,
                )
        except (UnsupportedCheckpoint, ParityError, EvaluationError) as error:
            print(f"make bench-precisions: {error}", file=sys.stderr)
            return 1
        tokenizer = Tokenizer.from_file(str(Path(work, "fp32", "tokenizer", "1", "tokenizer.json")))
        requests = requests_of(tokenizer, [one.question for one in questions], options.max_pair_tokens)
        asked = Judged(requests, [one.grades for one in questions])
        progress.step(f"{len(asked.requests)} questions, {asked.tokens} tokens, {ROUNDS} rounds of each precision")
        rows = measure(rankers, asked)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "cpu_precisions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    report = _report(rows, asked, options.model)
    (RESULTS / "cpu_precisions.md").write_text(report, encoding="utf-8")
    print(f"\n{report}\nWritten to benchmarks/results/cpu_precisions.md and .csv.")
    return 0


def _report(rows: Sequence[dict[str, Any]], judged: Judged, model: str) -> str:
    lines = [
        f"Precisions on a CPU: {model}, {len(judged.requests)} questions, {judged.tokens} tokens, in process, best of "
        f"{ROUNDS}. {machine()}.",
        "",
        f"int8: {verdict(rows[-1])} the fidelity gate (Kendall tau >= {LEAST_KENDALL_TAU}, nDCG@10 loss <= "
        f"{LARGEST_NDCG_LOSS}).",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
