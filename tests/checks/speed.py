"""`make check-speed`: fail when the built model has become slower against the padded Hugging Face model.

Both score the same pairs with the same weights in one run. packrank answers over gRPC, and transformers runs in fp32 on
padded batches of 32. A ratio is comparable between runs; a time is not.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.errors import BenchmarkError
from benchmarks.peers.checkpoint import write_peer_checkpoint
from benchmarks.peers.contestants import CONTESTANTS, DEFAULT_BATCH_SIZE
from benchmarks.peers.mixes import MIXES, questions_of
from benchmarks.peers.running import correlation, running_ensemble, running_worker
from benchmarks.processes import REPOSITORY, ROOT
from benchmarks.results import machine
from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_build.progress import Progress
from packrank_server.errors import ServerStartError

ROUNDS = 3
# Padded in batches of 32, the mix's 8,747 tokens become 24,864 rows, 2.8 times as many. Below 3, packing's advantage is
# lost or the ranker has become slower. Two AVX2 cores reach 4.8, and 2.6 with the ranker on one thread.
# Other precisions have no floor until they are measured.
FLOORS = {"fp32": 3.0}


def verdict(ratio: float, precision: str) -> tuple[bool, str]:
    """Return whether the build is fast enough, and a sentence that says so."""
    sentence = f"{precision} over gRPC has {ratio:.2f}× the throughput of the padded Hugging Face model in fp32"
    floor = FLOORS.get(precision)
    if floor is None:
        return True, f"{sentence}; no floor is known for {precision}."
    if ratio < floor:
        return False, f"{sentence}, below the floor of {floor:.2f}×: something has become slower."
    return True, f"{sentence}; the floor is {floor:.2f}×."


def measured_ratio(checkpoint: Path, work: Path, progress: Progress) -> float:
    """Return the median of the rounds' ratios. Raises BenchmarkError, also when the two compute different models."""
    write_peer_checkpoint(checkpoint, work / "checkpoint")
    questions = questions_of(MIXES["log-normal"], Tokenizer.from_file(str(work / "checkpoint" / "tokenizer.json")))
    python = CONTESTANTS["huggingface-fp32"].python
    log = work / "huggingface.log"
    ratios = []
    with (
        running_ensemble(REPOSITORY, "check-speed") as ensemble,
        running_worker(python, "huggingface", work / "checkpoint", "fp32", DEFAULT_BATCH_SIZE, log) as padded,
    ):
        for score in (ensemble, padded):
            score(questions[:1])
        for number in range(1, ROUNDS + 1):
            ours, theirs = ensemble(questions), padded(questions)
            correlation("packrank", theirs.logits, ours.logits)
            ratios.append(theirs.seconds / ours.seconds)
            progress.step(f"round {number} of {ROUNDS}: {ours.seconds:.1f} s against {theirs.seconds:.1f} s")
    return statistics.median(ratios)


def main() -> int:
    """Run the command line of `make check-speed`."""
    try:
        record = read_build_record(REPOSITORY / "ranker" / "1")
        checkpoint = ROOT / record.source
        if not (checkpoint / "config.json").is_file():
            print(f"make check-speed: {record.source} is not a directory: build a model from one.", file=sys.stderr)
            return 1
        with tempfile.TemporaryDirectory() as work:
            ratio = measured_ratio(checkpoint, Path(work), Progress())
    except (BenchmarkError, ServerStartError, StaleBuild) as error:
        print(f"make check-speed: {error}", file=sys.stderr)
        return 1
    passed, sentence = verdict(ratio, record.precision)
    print(f"{sentence}\nMachine: {machine()}.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
