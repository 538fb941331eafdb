"""The prefix that is tokenised gives the ids of the whole text, up to the tokens that are used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from packrank_backend.text.safe_prefix import CHARACTERS_PER_TOKEN, MARGIN_TOKENS, encode_beginning, safe_prefix
from packrank_build.graph.parity_pairs import declaration_articles
from tests.support.repository import ROOT

SMOLLM2 = ROOT / ".cache" / "demo-ranker" / "tokenizer.json"


@pytest.fixture(scope="module", params=["llama3", "smollm2"])
def tokenizer(request: pytest.FixtureRequest, llama3_tokenizer: Path) -> Tokenizer:
    if request.param == "smollm2" and not SMOLLM2.exists():
        pytest.skip("the demo ranker has not been built")
    return Tokenizer.from_file(str(llama3_tokenizer if request.param == "llama3" else SMOLLM2))


def natural_texts() -> st.SearchStrategy[str]:
    articles = [text for articles in declaration_articles().values() for text in articles.values()]
    return st.lists(st.sampled_from(articles), min_size=1, max_size=4).map(" ".join)


SPECIAL = ("<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|")
SPACES = (" ", "\n", " \n", "\n\n ", "\t", "\r\n", "\u00a0")
WORDS = (
    "a",
    "ab",
    "1",
    "12.",
    "=",
    "!?",
    "'s",
    "'",
    "aA",
    "é",
    "\u0301",
    "字",
    "\u200d",
    "_",
    "ing",
    " the",
    "http://",
)
PIECES = st.one_of(natural_texts(), st.text(min_size=1, max_size=12), st.sampled_from(SPECIAL + SPACES + WORDS))
TEXTS = st.lists(st.tuples(PIECES, st.integers(1, 400)), min_size=1, max_size=8).map(
    lambda runs: "".join(piece * count for piece, count in runs)[:60_000]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, st.integers(1, 24))
def test_the_first_ids_are_the_whole_texts(tokenizer: Tokenizer, text: str, tokens: int) -> None:
    whole = tokenizer.encode(text).ids
    assert encode_beginning(tokenizer, text, tokens).ids[:tokens] == whole[:tokens]


@pytest.mark.parametrize("piece", ["a", " ", "\n", "ab", " \n", "=", "é", "字", "<|im_end|>", "a ", "'s"])
@pytest.mark.parametrize("tokens", [1, 64, 500])
def test_a_text_of_one_thing_only(tokenizer: Tokenizer, piece: str, tokens: int) -> None:
    text = piece * (200_000 // len(piece))
    assert encode_beginning(tokenizer, text, tokens).ids[:tokens] == tokenizer.encode(text).ids[:tokens]


def test_how_much_is_tokenised_does_not_depend_on_the_text(tokenizer: Tokenizer) -> None:
    longest = CHARACTERS_PER_TOKEN * (64 + MARGIN_TOKENS)
    for text in ("a" * 10**7, "one two " * 10**6):
        assert longest - 600 <= len(safe_prefix(text, 64)) <= longest
    assert safe_prefix("short", 64) == "short"
    assert safe_prefix("one two " * 10**6, 64).endswith(("one", "two")), "the end of a word"


def test_a_prefix_with_too_few_tokens_grows(tokenizer: Tokenizer) -> None:
    text = " " * 100_000  # tokens of many spaces
    assert encode_beginning(tokenizer, text, 300).ids[:300] == tokenizer.encode(text).ids[:300]
