import numpy as np
import pytest

from packrank_backend.errors import REFUSALS, ErrorKind, InvalidRequest
from packrank_backend.text.question import Question
from packrank_backend.text.request_texts import question_from_tensors
from packrank_backend.text.truncate_parameters import (
    Truncate,
    max_passage_tokens_from_parameters,
    truncate_from_parameters,
)


def texts(*rows: list[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.object_]]:
    return np.array(rows, np.object_).reshape(len(rows), -1)


def test_tensors_become_a_question() -> None:
    question = question_from_tensors(texts([b"why?"]), texts([b"a", "ä".encode()]), '{"truncate": "end"}')
    assert question == Question("why?", ["a", "ä"], Truncate.END)


@pytest.mark.parametrize(
    ("query", "passages", "kind", "message"),
    [
        (texts([b"a"], [b"b"]), texts([b"x"]), ErrorKind.INVALID_BATCH, "query has batch dimension 2"),
        (texts([b"a"]), texts([b"x"], [b"y"]), ErrorKind.INVALID_BATCH, "passages has batch dimension 2"),
        (texts([b"\xff"]), texts([b"x"]), ErrorKind.INVALID_UTF8, "query is not valid UTF-8 at byte 0"),
        (
            texts([b"a"]),
            texts([b"x", b"ab\xc3"]),
            ErrorKind.INVALID_UTF8,
            r"passages\[1\] is not valid UTF-8 at byte 2",
        ),
    ],
)
def test_refusals(query: object, passages: object, kind: ErrorKind, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        question_from_tensors(query, passages, "")  # type: ignore[arg-type]
    assert caught.value.kind is kind
    assert str(caught.value).startswith(f"{kind.value} {{")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", Truncate.NONE),
        ("{}", Truncate.NONE),
        ('{"truncate": "None"}', Truncate.NONE),
        ('{"truncate": "END"}', Truncate.END),
    ],
)
def test_truncate_in_any_case(parameters: str, expected: Truncate) -> None:
    assert truncate_from_parameters(parameters) is expected


@pytest.mark.parametrize("value", ['"START"', '""', "1", "true"])
def test_an_unknown_truncate_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="send NONE .*, END .* or LONGEST_FIRST"):
        truncate_from_parameters(f'{{"truncate": {value}}}')


def test_the_passages_limit_is_read() -> None:
    question = question_from_tensors(texts([b"why?"]), texts([b"a"]), '{"max_passage_tokens": 7}')
    assert question == Question("why?", ["a"], max_passage_tokens=7)
    assert max_passage_tokens_from_parameters("") is None


@pytest.mark.parametrize("value", ["0", "-1", "1.5", '"7"', "true"])
def test_a_passages_limit_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid_max_passage_tokens {}: .* at least 1"):
        max_passage_tokens_from_parameters(f'{{"max_passage_tokens": {value}}}')


def test_every_kind_has_a_row_in_the_error_table() -> None:
    assert set(REFUSALS) == set(ErrorKind)
