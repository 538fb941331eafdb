"""Nothing is computed for a request whose deadline has passed; the others of its batch are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from packrank_backend.deadlines import NO_DEADLINE, deadline_after, has_passed
from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.packing import pack, packed_from_tensors
from packrank_backend.ranker.cpu_ranker import CpuRanker, published_ranker
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.question import PairLimits, Question

SECOND_NS = 10**9


def test_a_moment_is_never_early() -> None:
    now_ns = 123 * SECOND_NS + 1
    deadline = deadline_after(1_000_000, now_ns)
    assert not has_passed(deadline, now_ns + SECOND_NS)
    assert has_passed(deadline, now_ns + 2 * SECOND_NS)


def test_no_timeout_is_no_deadline() -> None:
    assert deadline_after(0, 5) == NO_DEADLINE
    assert not has_passed(NO_DEADLINE, 10**18)
    assert deadline_after(2**62, 5) == np.iinfo(np.int32).max


def test_the_carrier_takes_it_to_the_ranker() -> None:
    tensors = pack([[1, 2, 3], [4]], deadline=77).tensors()
    assert tensors["max_len_carrier"].shape == (3,)
    assert packed_from_tensors(*(tensor[None] for tensor in tensors.values())).deadline == 77
    empty = np.zeros((1, 0), np.int32)
    assert packed_from_tensors(tensors["input_ids"][None], tensors["seq_lens"][None], empty).deadline == NO_DEADLINE


@pytest.fixture(scope="module")
def ranker(repository: Path) -> CpuRanker:
    return published_ranker(repository / "ranker" / "1", threads=1, max_run_tokens=64, max_attention_bytes=1 << 29)


def test_a_large_request_is_dropped_between_two_runs(ranker: CpuRanker, monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = pack([[1] * 40] * 10, deadline=30)
    patient = pack([[1] * 50, [2] * 30])
    (alone,) = ranker.logits([patient])
    runs: list[int] = []
    graph = ranker._graph
    monkeypatch.setattr(ranker, "_graph", Runs(graph, runs))
    ticks: Iterator[int] = count(20)
    expired, scored = ranker.answers([doomed, patient], clock_ns=lambda: next(ticks) * SECOND_NS // 2)
    assert isinstance(expired, InvalidRequest)
    assert expired.kind is ErrorKind.DEADLINE_EXCEEDED
    assert not isinstance(scored, InvalidRequest)
    np.testing.assert_allclose(scored, alone, rtol=0, atol=1e-5)
    assert 2 <= len(runs) < 11, "the rest of the large request was not computed"


class Runs:
    """Counts the runs of a graph."""

    def __init__(self, graph: object, runs: list[int]) -> None:
        self._graph = graph
        self._runs = runs

    def run(self, output: str, inputs: dict[str, np.ndarray]) -> object:
        self._runs.append(len(inputs["seq_lens"]))
        return self._graph.run(output, inputs)  # type: ignore[attr-defined]


def test_an_expired_question_is_not_tokenised(llama3_tokenizer: Path) -> None:
    tokenizer = Counting(Tokenizer.from_file(str(llama3_tokenizer)))
    limits = PairLimits(64, max_passages=9, max_request_tokens=500, max_request_padded_tokens=900)
    questions = [Question("why?", ["late"], deadline=10), Question("why?", ["in time"], deadline=1000)]
    late, in_time = encode_questions(tokenizer, questions, limits, clock_ns=lambda: 20 * SECOND_NS)  # type: ignore[arg-type]
    assert isinstance(late, InvalidRequest)
    assert str(late).startswith("deadline_exceeded {}: Request timeout expired")
    assert not isinstance(in_time, InvalidRequest)
    assert in_time.deadline == 1000
    assert all("late" not in text for text in tokenizer.texts)


class Counting:
    """A tokenizer that keeps what it was given."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.texts: list[str] = []

    def encode_batch_fast(self, texts: list[str]) -> object:
        self.texts += texts
        return self._tokenizer.encode_batch_fast(texts)

    def encode(self, text: str, add_special_tokens: bool = True) -> object:
        self.texts.append(text)
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)


LIMITS = PairLimits(512, max_passages=512, max_request_tokens=16_384, max_request_padded_tokens=131_072)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (Question("why?", ["a" * 8_000_000], max_passage_tokens=64), None),
        (Question("a " * 500_000, ["b"] * 512), ErrorKind.QUERY_TOO_LONG),
        (Question("why " * 25_000, ["b"] * 256), ErrorKind.QUERY_TOO_LONG),
        (Question("why " * 400, ["b"] * 256), ErrorKind.TOO_MANY_TOKENS),
        (Question("why?", ["word " * 100_000] * 64), ErrorKind.PAIR_TOO_LONG),
        (Question("why?", ["word " * 400] * 512), ErrorKind.TOO_MANY_TOKENS),
    ],
)
def test_a_huge_text_costs_little(llama3_tokenizer: Path, question: Question, kind: ErrorKind | None) -> None:
    tokenizer = Counting(Tokenizer.from_file(str(llama3_tokenizer)))
    (answer,) = encode_questions(tokenizer, [question], LIMITS)  # type: ignore[arg-type]
    assert (answer.kind if isinstance(answer, InvalidRequest) else None) is kind
    assert sum(map(len, tokenizer.texts)) < 300_000, "characters tokenised"
