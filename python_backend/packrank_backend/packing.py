"""Pairs laid end to end, without padding: the tensors that travel from tokenizer to ranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from packrank_backend.errors import ErrorKind, InvalidRequest


@dataclass(frozen=True)
class PackedPairs:
    """The pairs of one request.

    input_ids: INT32 [tokens], every pair's ids one after another; seq_lens: INT32 [pairs], their lengths.
    """

    input_ids: NDArray[np.int32]
    seq_lens: NDArray[np.int32]

    @property
    def longest(self) -> NDArray[np.int32]:
        """INT32 [length of the longest pair]: zeros. Only its length matters.

        Triton hands the longest length of a merged batch to an engine as a shape (batch input
        BATCH_MAX_ELEMENT_COUNT_AS_SHAPE), and this is the tensor whose elements it counts.
        """
        return np.zeros(int(self.seq_lens.max()), np.int32)


def pack(pairs: Sequence[Sequence[int]]) -> PackedPairs:
    """Lay at least one pair of token ids end to end."""
    seq_lens = np.fromiter(map(len, pairs), np.int32, len(pairs))
    input_ids = np.fromiter(chain.from_iterable(pairs), np.int32, int(seq_lens.sum()))
    return PackedPairs(input_ids, seq_lens)


def packed_from_tensors(input_ids: NDArray[np.int32], seq_lens: NDArray[np.int32]) -> PackedPairs:
    """Read a ranker's request: input_ids INT32 [1, tokens], seq_lens INT32 [1, pairs].

    Raises InvalidRequest(INVALID_BATCH) when the first dimension is not 1: a request is one packed sequence of pairs.
    """
    if len(input_ids) != 1 or len(seq_lens) != 1:
        sentence = f"input_ids has batch dimension {len(input_ids)}, seq_lens {len(seq_lens)}; both must be 1."
        raise InvalidRequest(ErrorKind.INVALID_BATCH, sentence)
    return PackedPairs(input_ids[0], seq_lens[0])


def check_packing(packed: PackedPairs, vocab_size: int, max_pair_tokens: int) -> None:
    """Refuse tensors that contradict each other, before they spoil a batch that they are merged into.

    Nothing here can be wrong when the tensors come from the tokenizer; the ranker is also a model that anyone
    can call by itself. Raises InvalidRequest(INVALID_PACKING).
    """
    lengths, ids = packed.seq_lens, packed.input_ids
    if lengths.size == 0 or lengths.min() < 1 or lengths.max() > max_pair_tokens:
        problem = f"each of seq_lens must be between 1 and {max_pair_tokens}"
    elif int(lengths.sum(dtype=np.int64)) != ids.size:
        problem = f"seq_lens sum to {int(lengths.sum(dtype=np.int64))} but input_ids has {ids.size} elements"
    elif ids.min() < 0 or ids.max() >= vocab_size:
        problem = f"each of input_ids must be between 0 and {vocab_size - 1}"
    else:
        return
    raise InvalidRequest(ErrorKind.INVALID_PACKING, f"{problem}. Call `reranker`, or pack as the tokenizer does.")
