from pathlib import Path

import numpy as np
import pytest

from benchmarks.local_ensemble import bare_ranker, published_tokenizer, ranker_parameters
from benchmarks.scaling import (
    PADDED_BATCH,
    flat_and_linear_part,
    padded_tokens,
    passages_rows,
    spread,
    tokens_rows,
    waste_rows,
)
from packrank_build.progress import Progress
from packrank_server.tritonserver import TritonServer


def test_the_flat_and_the_linear_part_are_found_again() -> None:
    lengths = [16, 64, 256, 1024, 4096]
    assert flat_and_linear_part(lengths, [5 + 0.01 * length for length in lengths]) == pytest.approx((5, 0.01))


def test_a_padded_batch_is_as_long_as_its_longest() -> None:
    lengths = np.array([10] * (PADDED_BATCH - 1) + [100] + [7], np.int32)
    assert padded_tokens(lengths) == PADDED_BATCH * 100 + 7


def test_packing_wastes_least_and_uniform_lengths_waste_nothing() -> None:
    parameters = {"max_run_tokens": 1024, "max_attention_bytes": 1 << 29}
    uniform, mixed, long = waste_rows(parameters, heads=9)
    assert {uniform[column] for column in ("padded", "padded, sorted", "packed", "packed, within attention")} == {1.0}
    for row in (mixed, long):
        assert row["packed"] == 1.0
        assert 1 < float(row["packed, within attention"]) < float(row["padded"])
        assert float(row["padded, sorted"]) < float(row["padded"])


def test_spread_is_around_the_median_of_each_length() -> None:
    rows = [{"tokens/pair": 32, "CPU us/token": cost} for cost in (90, 100, 130)] + [
        {"tokens/pair": 64, "CPU us/token": 5}
    ]
    assert spread(rows) == (
        "- 32 tokens a pair: -10 % to +30 % of the median processor time per token\n"
        "- 64 tokens a pair: +0 % to +0 % of the median processor time per token"
    )


def test_both_sweeps_run(server: TritonServer, repository: Path) -> None:
    by_passages = passages_rows(server, published_tokenizer(repository), [1, 3], 0.01, Progress())
    assert [(row["tokens/pair"], row["passages"]) for row in by_passages] == [(32, 1), (32, 3), (128, 1), (128, 3)]
    assert all(float(row["us/token"]) > 0 for row in by_passages)
    ranker = bare_ranker(repository, ranker_parameters(server.grpc_endpoint))
    by_tokens = tokens_rows(ranker, [16, 64, 256], 0.01, Progress())
    assert [row["tokens/pair"] for row in by_tokens] == [16, 64, 256]
