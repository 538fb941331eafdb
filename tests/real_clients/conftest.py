"""The address of the gateway, and its answer without any client library."""

from __future__ import annotations

import os
from dataclasses import dataclass

import httpx
import pytest

MODEL = "nvidia/llama-3.2-nv-rerankqa-1b-v2"
QUERY = "How is the climate in Lima?"
PASSAGES = [
    "Lima lies on the Pacific coast.",
    "It hardly ever rains there.",
    "Jugar al fútbol",
    "利马的气候温和。",
    "The protein of eggs is complete.",
]


@dataclass(frozen=True)
class Expected:
    """The expected answer, best first."""

    order: list[int]
    logits: list[float]
    scores: list[float]


@pytest.fixture(scope="session")
def url() -> str:
    """Return the gateway's address."""
    return os.environ["GATEWAY_URL"]


@pytest.fixture(scope="session")
def expected(url: str) -> Expected:
    """Ask the gateway over plain HTTP; other tests compare that answer with the ensemble's."""
    ask = {"query": QUERY, "texts": PASSAGES}
    raw = httpx.post(f"{url}/rerank", json=ask | {"raw_scores": True}).json()
    scores = httpx.post(f"{url}/rerank", json=ask).json()
    order = [rank["index"] for rank in raw]
    assert sorted(order) == list(range(len(PASSAGES)))
    assert order != sorted(order), "no client could give this order by accident"
    return Expected(order, [rank["score"] for rank in raw], [rank["score"] for rank in scores])
