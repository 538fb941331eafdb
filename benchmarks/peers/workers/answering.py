"""How a worker is asked: one line of JSON in, one line of JSON out, until standard input ends."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence

# [query, passage], both in the model's prompt: their concatenation is the text of the pair
Pair = Sequence[str]


Score = Callable[[list[Pair]], list[float]]


def torch_options(description: str | None) -> argparse.Namespace:
    """What a worker that runs a checkpoint in torch is told: checkpoint, dtype, batch_size."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("checkpoint")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    return parser.parse_args()


def answer_questions(load: Callable[[], Score]) -> None:
    """Answer {"pairs": [[str, str], ...]} with {"seconds": float, "scores": [float, ...]}.

    `load` gives the function that is timed. Whatever the libraries print meanwhile goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    score = load()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        pairs = json.loads(line)["pairs"]
        start = time.perf_counter()
        scores = score(pairs)
        print(json.dumps({"seconds": time.perf_counter() - start, "scores": scores}), file=answers, flush=True)
