"""Pairs laid end to end, without padding: the tensors that travel from tokenizer to ranker, and into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from packrank_backend.errors import ErrorKind, InvalidRequest

Tensors = dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class PackedPairs:
    """The pairs of one request.

    input_ids: INT32 [tokens], every pair's ids one after another; seq_lens: INT32 [pairs], their lengths.
    """

    input_ids: NDArray[np.int32]
    seq_lens: NDArray[np.int32]

    @property
    def max_len(self) -> int:
        """Tokens of the longest pair."""
        return int(self.seq_lens.max())

    def tensors(self) -> Tensors:
        """Name what the ranker receives: input_ids, seq_lens and max_len_carrier INT32 [max_len].

        The carrier is zeros, and nobody reads them. Triton counts its elements over a merged batch and hands the
        largest count to an engine as a shape (batch input BATCH_MAX_ELEMENT_COUNT_AS_SHAPE).
        """
        carrier = np.zeros(self.max_len, np.int32)
        return {"input_ids": self.input_ids, "seq_lens": self.seq_lens, "max_len_carrier": carrier}


def run_inputs(requests: Sequence[PackedPairs]) -> Tensors:
    """Merge requests into the inputs of one run of the packed graph, as Triton merges them for an engine.

    max_len INT32 [longest pair of all requests] is zeros: only its shape is read (graph/packed_graph.py).
    """
    tensors = [request.tensors() for request in requests]
    inputs = {name: np.concatenate([each[name] for each in tensors]) for name in tensors[0]}
    inputs["max_len"] = np.zeros(max(request.max_len for request in requests), np.int32)
    return inputs


def pack(pairs: Sequence[Sequence[int] | NDArray[np.int32]]) -> PackedPairs:
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
    """Refuse tensors that contradict each other, before they spoil the batch that they are merged into.

    The tokenizer never sends such tensors, but anyone can call the ranker model directly. Raises
    InvalidRequest(INVALID_PACKING).
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
