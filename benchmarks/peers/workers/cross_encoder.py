"""sentence-transformers' CrossEncoder: sorted by length, each batch padded. In .venv-peers-transformers."""

from __future__ import annotations

import torch
from sentence_transformers import CrossEncoder

from benchmarks.peers.workers.answering import Pair, Score, answer_questions, torch_options


def main() -> None:
    """Answer until standard input ends."""
    options = torch_options(__doc__)

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
