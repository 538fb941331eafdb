import numpy as np
import pytest

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.nim_tensors import nim_ranking, question_from_nim_tensors
from packrank_backend.text.question import Question
from packrank_backend.text.truncate_parameters import Truncate


def rows(*texts: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.object_]]:
    return np.array(texts, np.object_).reshape(-1, 1)


@pytest.mark.parametrize("query", [rows(b"why?"), rows(b"why?", b"why?")])
def test_a_query_once_or_with_every_passage(query: object) -> None:
    question = question_from_nim_tensors(query, rows(b"a", b"b"), '{"truncate": "end"}')  # type: ignore[arg-type]
    assert question == Question("why?", ["a", "b"], Truncate.END)


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        (rows(), rows()),
        (rows(), rows(b"a")),
        (rows(b"why?", b"how?"), rows(b"a", b"b")),
        (rows(b"why?", b"why?", b"why?"), rows(b"a", b"b")),
    ],
)
def test_what_is_no_question(query: object, passage: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        question_from_nim_tensors(query, passage, "")  # type: ignore[arg-type]
    assert caught.value.kind is ErrorKind.INVALID_BATCH


def test_highest_logit_first_and_token_counts_in_the_order_of_the_passages() -> None:
    ranking = nim_ranking(np.array([[1, 3, 1, 2]], np.float32), np.array([[10, 11, 12, 13]], np.int32))
    assert ranking.index.tolist() == [[1], [3], [0], [2]]
    assert ranking.logit.tolist() == [[3], [2], [1], [1]]
    assert ranking.token_count.tolist() == [10, 11, 12, 13]
    assert [array.dtype for array in vars(ranking).values()] == [np.int32, np.float32, np.int32]
