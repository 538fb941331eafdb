"""`make bench-fidelity`: what int8, fp16, bf16 and fp8 do to a checkpoint's scores, on labelled questions.

Each precision is compared with fp32: differences of logits, Kendall's tau, and nDCG@10 on the labels. fp16 also runs
with a scaled residual stream, because other models have larger activations than this one. Everything runs on a CPU.
Writes benchmarks/results/fidelity.md, fidelity.csv and fidelity_fp16.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.fidelity.compared import LARGEST_NDCG_LOSS, LEAST_KENDALL_TAU, Logits, fidelity
from benchmarks.fidelity.labelled import all_labelled, graded_pairs
from benchmarks.fidelity.precisions import COMPARED, Scorer
from benchmarks.results import Row, machine, markdown_table, write_csv, write_markdown
from packrank_backend.packing import PackedPairs
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.parity import ParityError
from packrank_client.evaluation.errors import EvaluationError

FP16_LARGEST = 65504.0
FP16_QUESTIONS = 6
# Targets for the residual stream's largest |value|. Llama-like models have a few values of 10² to 10³, or a little
# more (Sun et al. 2024, arXiv:2402.17762; Chen et al. 2026, arXiv:2605.15572); the second target is ten times that.
RESIDUALS = (1e3, 1e4)
# Questions and candidates of each set. Pages of the last are cut at the limit of a pair.
SETS = {"debian-faq-en": (100, 20), "perlfaq": (100, 20), "manual-pages-long": (2, 2)}


def fp16_rows(
    scorer: Scorer, requests: Sequence[PackedPairs], expected: Logits, grades: Sequence[Sequence[int]]
) -> list[Row]:
    """Return fp16's range as the model is, and with the residual stream scaled to RESIDUALS."""
    rows: list[Row] = []
    for target in (None, *RESIDUALS):
        scale = 1.0 if target is None else 2.0 ** np.ceil(np.log2(target / float(rows[0]["largest residual"])))
        logits, residual, rounded = scorer.fp16_range(requests, scale)
        found = fidelity("fp16", expected, logits, grades)
        rows.append(
            {
                "residual stream": f"× {scale:g}",
                "largest residual": residual,
                "largest in fp16": rounded,
                "room": round(FP16_LARGEST / rounded, 1),
                "pairs": found.pairs,
                "not finite": found.not_finite,
                "max Δ logit": round(found.max_difference, 4),
                "Kendall τ": round(float(found.taus.mean()), 4),
            }
        )
    return rows


def main() -> int:
    """Run the command line of `make bench-fidelity`."""
    parser = argparse.ArgumentParser(prog="make bench-fidelity", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("sets", type=Path, help="evaluation sets in BEIR's layout")
    parser.add_argument("--questions", type=int, default=50, help="most of each set")
    parser.add_argument("--precisions", nargs="+", choices=COMPARED, default=COMPARED)
    parser.add_argument("--max-pair-tokens", type=int, default=2048)
    options = parser.parse_args()
    limit = options.max_pair_tokens
    try:
        checkpoint = Checkpoint(options.checkpoint)
        tokenizer = tokenizer_from_checkpoint(options.checkpoint, checkpoint.architecture)
        labelled = all_labelled(options.sets, SETS, options.questions)
        grades = [one.grades for one in labelled]
        requests = [one.packed(tokenizer, limit) for one in labelled]
        with tempfile.TemporaryDirectory(prefix="packrank-fidelity-") as work:
            scorer = Scorer(checkpoint, tokenizer, limit, Path(work))
            expected = scorer.fp32(requests)
            rows = [
                fidelity(name, expected, scorer.scored(name, requests), grades).row() for name in options.precisions
            ]
            some = slice(0, FP16_QUESTIONS)
            fp16 = (
                fp16_rows(scorer, requests[some], expected[some], grades[some]) if "fp16" in options.precisions else []
            )
    except (UnsupportedCheckpoint, ParityError, EvaluationError) as error:
        print(f"make bench-fidelity: {error}", file=sys.stderr)
        return 1
    write_csv("fidelity", rows)
    lengths = np.concatenate([request.seq_lens for request in requests])
    parts = [
        f"{options.checkpoint}: {len(labelled)} labelled questions, {graded_pairs(labelled)} pairs of {lengths.min()} to "
        f"{lengths.max()} tokens (median {np.median(lengths):.0f}). Machine: {machine()}.",
        f"Against fp32. The gate for a default: τ ≥ {LEAST_KENDALL_TAU}, at most {LARGEST_NDCG_LOSS} of nDCG@10 lost.",
        markdown_table(rows),
    ]
    if fp16:
        write_csv("fidelity_fp16", fp16)
        parts += ["fp16 with a scaled residual stream; fp16 ends at 65,504:", markdown_table(fp16)]
    write_markdown("fidelity", *parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
