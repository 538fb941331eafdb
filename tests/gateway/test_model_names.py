from __future__ import annotations

import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import GatewayError
from packrank_gateway.model_names import ModelNames

NAMES = ("nvidia/llama-3.2-nv-rerankqa-1b-v2", "nvidia/llama-nemotron-rerank-1b-v2")


@pytest.mark.parametrize(
    ("requested", "answered"),
    [
        (None, NAMES[0]),
        ("", NAMES[0]),
        (NAMES[0], NAMES[0]),
        ("llama-3_2-nv-rerankqa-1b-v2", NAMES[0]),
        ("NVIDIA/Llama-3.2-NV-RerankQA-1B-v2", NAMES[0]),
        ("llama-nemotron-rerank-1b-v2", NAMES[1]),
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_known_names(requested: str | None, answered: str, dialect: Dialect) -> None:
    choice = ModelNames(NAMES, strict=True).choose(requested, dialect)
    assert (choice.name, choice.warning) == (answered, None)


def test_other_names() -> None:
    lenient = ModelNames(NAMES, strict=False)
    choice = lenient.choose("rerank-v3.5", Dialect.COHERE)
    assert choice.name == NAMES[0]
    assert "'rerank-v3.5' is not served here" in (choice.warning or "")
    for served, dialect in ((lenient, Dialect.NIM), (ModelNames(NAMES, strict=True), Dialect.COHERE)):
        with pytest.raises(GatewayError, match=f"send one of {NAMES[0]}") as raised:
            served.choose("rerank-v3.5", dialect)
        assert raised.value.kind == "unknown_model"
