import numpy as np
import pytest

from packrank_backend.errors import ErrorKind, InvalidRequest
from packrank_backend.packing import PackedPairs, check_packing, pack, packed_from_tensors, run_inputs


def int32(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, np.int32)


def test_pairs_lie_end_to_end_without_padding() -> None:
    packed = pack([[7, 8, 9], [1], [2, 3]])
    np.testing.assert_array_equal(packed.input_ids, int32(7, 8, 9, 1, 2, 3))
    np.testing.assert_array_equal(packed.seq_lens, int32(3, 1, 2))
    assert packed.max_len == 3
    tensors = packed.tensors()
    assert {name: len(tensor) for name, tensor in tensors.items()} == {
        "input_ids": 6,
        "seq_lens": 3,
        "max_len_carrier": 3,
    }
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.int32)}


def test_requests_merge_as_triton_merges_them() -> None:
    inputs = run_inputs([pack([[7, 8, 9], [1]]), pack([[2, 3]])])
    np.testing.assert_array_equal(inputs["input_ids"], int32(7, 8, 9, 1, 2, 3))
    np.testing.assert_array_equal(inputs["seq_lens"], int32(3, 1, 2))
    assert inputs["max_len_carrier"].shape == (3 + 2,), "each request's longest pair"
    assert inputs["max_len"].shape == (3,), "the longest pair of all"
    assert {tensor.dtype for tensor in inputs.values()} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
    ("input_ids", "seq_lens", "message"),
    [
        (int32(1, 2), int32(), "each of seq_lens must be between 1 and 4"),
        (int32(1, 2), int32(2, 0), "each of seq_lens must be between 1 and 4"),
        (int32(1, 2), int32(3, -1), "each of seq_lens must be between 1 and 4"),
        (int32(*range(5)), int32(5), "each of seq_lens must be between 1 and 4"),
        (int32(1, 2), int32(3), "seq_lens sum to 3 but input_ids has 2 elements"),
        (int32(1, 10), int32(2), "each of input_ids must be between 0 and 9"),
        (int32(1, -1), int32(2), "each of input_ids must be between 0 and 9"),
    ],
)
def test_contradicting_tensors_are_refused(
    input_ids: np.ndarray[tuple[int], np.dtype[np.int32]],
    seq_lens: np.ndarray[tuple[int], np.dtype[np.int32]],
    message: str,
) -> None:
    check_packing(PackedPairs(int32(0, 9), int32(1, 1)), vocab_size=10, max_pair_tokens=4)
    with pytest.raises(InvalidRequest, match=message) as caught:
        check_packing(PackedPairs(input_ids, seq_lens), vocab_size=10, max_pair_tokens=4)
    assert caught.value.kind is ErrorKind.INVALID_PACKING


def test_a_batch_of_packed_requests_is_refused() -> None:
    assert packed_from_tensors(int32(1)[None], int32(1)[None]).seq_lens.shape == (1,)
    with pytest.raises(InvalidRequest, match="input_ids has batch dimension 2") as caught:
        packed_from_tensors(np.ones((2, 3), np.int32), np.ones((2, 1), np.int32))
    assert caught.value.kind is ErrorKind.INVALID_BATCH
