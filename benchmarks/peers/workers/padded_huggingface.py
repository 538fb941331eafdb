"""Transformers as model cards show it: batches in the order given, padded. In .venv-peers-transformers."""

from __future__ import annotations

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.peers.workers.answering import Pair, Score, answer_questions, torch_options


def main() -> None:
    """Answer until standard input ends."""
    options = torch_options(__doc__)

    def load() -> Score:
        tokenizer = AutoTokenizer.from_pretrained(options.checkpoint)
        model = AutoModelForSequenceClassification.from_pretrained(
            options.checkpoint, trust_remote_code=True, dtype=getattr(torch, options.dtype)
        ).eval()

        def score(pairs: list[Pair]) -> list[float]:
            scores: list[float] = []
            for start in range(0, len(pairs), options.batch_size):
                texts = [query + passage for query, passage in pairs[start : start + options.batch_size]]
                with torch.inference_mode():
                    logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
                scores += logits[:, 0].float().tolist()
            return scores

        return score

    answer_questions(load)


if __name__ == "__main__":
    main()
