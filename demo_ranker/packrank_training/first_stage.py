"""BM25 over passages. A reranker gets its candidates from a first stage, so training uses the same."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray


class Bm25:
    """An index of passages: Lucene's BM25 with k1 1.5 and b 0.75, lower case, without English stop words."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._index = bm25s.BM25()
        self._index.index(bm25s.tokenize(list(passages), stopwords="en", show_progress=False), show_progress=False)
        self.passages = len(passages)

    def scores(self, question: str) -> NDArray[np.float32]:
        """Return one score per passage, fp32 [passages]; all zero if no word of the question occurs."""
        tokens = bm25s.tokenize([question], stopwords="en", return_ids=False, show_progress=False)[0]
        if not tokens:
            return np.zeros(self.passages, np.float32)
        return np.asarray(self._index.get_scores(tokens), np.float32)

    def best(self, question: str, count: int) -> list[int]:
        """Return the indices of the best passages, best first, ties by index.

        Omits passages that share no word with the question, so fewer than `count` may return.
        """
        scores = self.scores(question)
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(place) for place in order if scores[place] > 0]
