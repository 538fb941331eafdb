"""The server's line on the wire, read back in the caller's terms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_backend.errors import ErrorKind
from packrank_backend.errors import InvalidRequest as ServersRefusal
from packrank_client.refusals import KINDS, Refusal, error_from_refusal, parse_refusal, render_sentence

# Text that may stand before a refusal, and sentences that look like one.
WORDS_BEFORE = ["", "in ensemble 'reranker', ", "in ensemble 'a {b}: c', failed: ", "pair_too_long was {}: no, "]
SENTENCES = st.text(max_size=40) | st.sampled_from(["no_passages {}: passages is empty", "{", "} {", ": "])
FACTS = st.dictionaries(st.sampled_from(["passage", "tokens", "limit", "pairs"]), st.integers(-(2**63), 2**63))


def line_of(kind: ErrorKind, sentence: str, **facts: int) -> str:
    return str(ServersRefusal(kind, sentence, **facts))


def test_the_client_knows_what_the_ensemble_refuses() -> None:
    # the gateway never calls the ranker itself, and an expired request comes with its own code
    assert set(KINDS) == {kind.value for kind in ErrorKind} - {"invalid_packing", "deadline_exceeded"}


@given(st.sampled_from(KINDS), SENTENCES, FACTS, st.sampled_from(WORDS_BEFORE))
def test_what_the_server_writes_the_client_reads(kind: str, sentence: str, facts: dict[str, int], before: str) -> None:
    line = before + line_of(ErrorKind(kind), sentence, **facts)
    assert parse_refusal(line) == Refusal(kind, facts, sentence)


@given(st.text())
def test_other_text_is_no_refusal(text: str) -> None:
    assert parse_refusal(text) is None


@pytest.mark.parametrize(
    "message",
    [
        "pair_too_long: passages[3] has 65 tokens",
        "pair_too_long {: passages[3] has 65 tokens",
        'pair_too_long {"passage":3: passages[3] has 65 tokens',
        'pair_too_long {"passage":3} passages[3] has 65 tokens',
        'pair_too_long ["passage"]: passages[3] has 65 tokens',
        'a_pair_too_long {"passage":3}: passages[3] has 65 tokens',
        "unknown_kind {}: no one has heard of it",
        "pair_too_long " + '{"a":' * 100_000,
        "pair_too_long {",
        "",
    ],
)
def test_a_garbled_line_is_no_refusal(message: str) -> None:
    assert parse_refusal(message) is None


@given(st.data(), st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True))
def test_the_passage_at_fault_is_the_callers(data: Any, chunk: list[int]) -> None:
    place = data.draw(st.integers(0, len(chunk) - 1))
    line = line_of(ErrorKind.PAIR_TOO_LONG, f"passages[{place}] is long", passage=place, tokens=65, limit=64)
    refusal = parse_refusal(line)
    assert refusal
    error = error_from_refusal(refusal, chunk)
    assert error.passage_index == chunk[place]
    assert error.facts == {"passage": chunk[place], "tokens": 65, "limit": 64}
    assert str(error) == (
        f"passages[{chunk[place]}] has 65 tokens together with the query; the limit is 64. "
        "Shorten the passage or send truncate=END."
    )


@pytest.mark.parametrize(
    ("kind", "facts", "chunk", "passage_index"),
    [
        ("too_many_tokens", {"tokens": 9, "pairs": 1}, (6,), 6),
        ("too_many_tokens", {"tokens": 9, "pairs": 2}, (6, 4), None),
        ("query_too_long", {"tokens": 70, "limit": 64}, (6,), None),
        ("pair_too_long", {"passage": 8, "tokens": 65, "limit": 64}, (6, 4), None),
        ("pair_too_long", {"passage": -1, "tokens": 65, "limit": 64}, (6, 4), None),
        ("pair_too_long", {"passage": "1", "tokens": 65, "limit": 64}, (6, 4), None),
        ("pair_too_long", {"passage": True, "tokens": 65, "limit": 64}, (6, 4), None),
        ("pair_too_long", {"passage": 0, "tokens": 65, "limit": 64}, (), None),
    ],
)
def test_without_a_passage_at_fault_the_servers_sentence_stands(
    kind: str, facts: dict[str, Any], chunk: tuple[int, ...], passage_index: int | None
) -> None:
    error = error_from_refusal(Refusal(kind, facts, "as the server says."), chunk)
    assert (str(error), error.passage_index) == ("as the server says.", passage_index)


def test_a_missing_fact_leaves_the_servers_sentence() -> None:
    error = error_from_refusal(Refusal("pair_too_long", {"passage": 0}, "passages[0] is long."), (7,))
    assert (str(error), error.passage_index) == ("passages[0] is long.", 7)


def test_another_api_has_words_of_its_own() -> None:
    facts = {"passage": 1, "tokens": 65, "limit": 64}
    assert render_sentence("pair_too_long", facts, field="texts", remedy="truncate=true") == (
        "texts[1] has 65 tokens together with the query; the limit is 64. Shorten the passage or send truncate=true."
    )
    assert render_sentence("no_passages", {}, field="documents") == "documents is empty; send at least one."
    assert render_sentence("query_too_long", {"tokens": 70, "limit": 64}) is None
