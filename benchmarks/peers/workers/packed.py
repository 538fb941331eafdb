"""packrank without a server: the tokenizer's and the ranker's code as the backends call it. In .venv."""

from __future__ import annotations

import argparse
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.peers.workers.answering import Pair, Score, answer_questions
from packrank_backend.cpu_ranker import published_ranker
from packrank_backend.packing import pack


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--max-run-tokens", type=int, required=True)
    options = parser.parse_args()

    def load() -> Score:
        tokenizer = Tokenizer.from_file(str(options.repository / "tokenizer" / "1" / "tokenizer.json"))
        ranker = published_ranker(
            options.repository / "ranker" / "1",
            threads=0,
            max_run_tokens=options.max_run_tokens,
            max_attention_bytes=1 << 29,
        )

        def score(pairs: list[Pair]) -> list[float]:
            texts = ["".join(pair) for pair in pairs]
            packed = pack([encoding.ids for encoding in tokenizer.encode_batch_fast(texts)])
            (logits,) = ranker.logits([packed])
            return [float(logit) for logit in logits]

        return score

    answer_questions(load)


if __name__ == "__main__":
    main()
