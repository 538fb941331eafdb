"""BM25 over passages: what a reranker is given, so what it is trained against."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray


class Bm25:
    """An index of passages (Lucene's BM25, k1 1.5, b 0.75; lower case, English stop words left out)."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._index = bm25s.BM25()
        self._index.index(bm25s.tokenize(list(passages), stopwords="en", show_progress=False), show_progress=False)
        self.passages = len(passages)

    def scores(self, question: str) -> NDArray[np.float32]:
        """One score per passage; all zero where no word of the question occurs."""
        tokens = bm25s.tokenize([question], stopwords="en", return_ids=False, show_progress=False)[0]
        if not tokens:
            return np.zeros(self.passages, np.float32)
        return np.asarray(self._index.get_scores(tokens), np.float32)

    def best(self, question: str, count: int) -> list[int]:
        """The indices of the best passages, best first, ties by index; only passages that share a word."""
        scores = self.scores(question)
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(place) for place in order if scores[place] > 0]
