"""`make bench-fidelity`: what int8, fp16, bf16 and fp8 do to a checkpoint's scores, on labelled questions.

Each precision is compared with fp32: differences of logits, Kendall's tau, and nDCG@10 on the labels. The candidates
are BM25's best documents. Everything runs on a CPU. Writes benchmarks/results/fidelity.md and fidelity.csv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bare_ranker import packed_requests
from benchmarks.errors import exit_code
from benchmarks.fidelity.compared import fidelity_row
from benchmarks.fidelity.precisions import COMPARED, Scorer
from benchmarks.results import machine, markdown_table, write_csv, write_markdown
from packrank_backend.text.question import Question
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.precision.fidelity import LARGEST_NDCG_LOSS, LEAST_KENDALL_TAU
from packrank_client.evaluation.dataset import read_dataset
from packrank_client.evaluation.first_stage import bm25_run

# Most questions of each set, and most candidates of each question. Pages of the last set are cut at the pair's limit.
SETS = {"debian-faq-en": (100, 20), "perlfaq": (100, 20), "manual-pages-long": (2, 2)}

Labelled = tuple[Question, list[int]]
"""A question, and the relevance grade of each passage; 0 is not relevant."""


def labelled_questions(directory: Path, count: int, candidates: int) -> list[Labelled]:
    """Choose questions of a BEIR folder, by a fixed seed, whose relevant document is among BM25's `candidates` best.

    Raises EvaluationError when the folder holds no data set.
    """
    dataset = read_dataset(directory)
    found = []
    for name, hits in bm25_run(dataset, candidates, lambda _: None).items():
        grades = [dataset.qrels[name].get(hit.document, 0) for hit in hits]
        if any(grades):
            found.append((Question(dataset.queries[name], [dataset.corpus[hit.document] for hit in hits]), grades))
    chosen = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in chosen[:count]]


def main() -> int:
    """Run the command line of `make bench-fidelity`."""
    parser = argparse.ArgumentParser(prog="make bench-fidelity", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("directory", type=Path, help="evaluation sets in BEIR's layout")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which of them")
    parser.add_argument("--questions", type=int, default=50, help="most of each set")
    parser.add_argument("--candidates", type=int, default=20, help="most of each question")
    parser.add_argument("--precisions", nargs="+", choices=COMPARED, default=COMPARED)
    parser.add_argument("--max-pair-tokens", type=int, default=2048)
    options = parser.parse_args()
    return exit_code("make bench-fidelity", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Score the questions in every precision and write the report."""
    limit = options.max_pair_tokens
    checkpoint = Checkpoint(options.checkpoint)
    tokenizer = tokenizer_from_checkpoint(options.checkpoint, checkpoint.architecture)
    labelled: list[Labelled] = []
    for name in options.sets:
        count, candidates = min(SETS[name][0], options.questions), min(SETS[name][1], options.candidates)
        labelled += labelled_questions(options.directory / name, count, candidates)
    questions, grades = [question for question, _ in labelled], [grades for _, grades in labelled]
    requests = packed_requests(tokenizer, questions, limit)
    with tempfile.TemporaryDirectory(prefix="packrank-fidelity-") as work:
        scorer = Scorer(checkpoint, tokenizer, limit, Path(work))
        expected = scorer.logits("fp32", requests)
        rows = [fidelity_row("fp32", expected, expected, grades)]
        for precision in options.precisions:
            rows.append(fidelity_row(precision, expected, scorer.logits(precision, requests), grades))
    write_csv("fidelity", rows)
    lengths = np.concatenate([request.seq_lens for request in requests])
    write_markdown(
        "fidelity",
        f"{options.checkpoint}: {len(labelled)} labelled questions, {len(lengths)} pairs of {lengths.min()} to "
        f"{lengths.max()} tokens (median {np.median(lengths):.0f}). Machine: {machine()}.",
        f"Against fp32. The gate for a default: τ ≥ {LEAST_KENDALL_TAU}, at most {LARGEST_NDCG_LOSS} of nDCG@10 lost.",
        markdown_table(rows),
    )


if __name__ == "__main__":
    sys.exit(main())
