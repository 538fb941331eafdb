"""sentence-transformers' CrossEncoder: sorted by length, each batch padded. In .venv-peers-transformers."""

from __future__ import annotations

import argparse

import torch
from sentence_transformers import CrossEncoder

from benchmarks.peers.workers.answering import Pair, Score, answer_questions


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    options = parser.parse_args()

    def load() -> Score:
        model = CrossEncoder(
            options.checkpoint,
            device="cpu",
            trust_remote_code=True,
            activation_fn=torch.nn.Identity(),
            model_kwargs={"dtype": getattr(torch, options.dtype)},
        )

        def score(pairs: list[Pair]) -> list[float]:
            texts = [tuple(pair) for pair in pairs]
            return [float(s) for s in model.predict(texts, batch_size=options.batch_size, show_progress_bar=False)]

        return score

    answer_questions(load)


if __name__ == "__main__":
    main()
