from pathlib import Path

import numpy as np

from benchmarks.bare_ranker import bare_ranker
from benchmarks.scaling import (
    PADDED_BATCH,
    cpu_seconds_per_run,
    engine_padding_rows,
    padded_tokens,
    padding_rows,
    tokens_rows,
)
from benchmarks.settings import cpu_config, settings_of
from packrank_build.progress import Progress
from packrank_build.tensorrt.targets import TARGETS


def test_a_padded_batch_is_as_long_as_its_longest() -> None:
    lengths = np.array([10] * (PADDED_BATCH - 1) + [100] + [7], np.int32)
    assert padded_tokens(lengths) == PADDED_BATCH * 100 + 7


def test_packing_wastes_least_and_uniform_lengths_waste_nothing() -> None:
    parameters = {"max_run_tokens": 1024, "max_attention_bytes": 1 << 29}
    uniform, mixed, long = padding_rows(parameters, heads=9)
    assert {uniform[column] for column in ("padded", "padded, sorted", "packed", "packed, inside attention")} == {1.0}
    for row in (mixed, long):
        assert row["packed"] == 1.0
        assert 1 < float(row["packed, inside attention"]) < float(row["padded"])
        assert float(row["padded, sorted"]) < float(row["padded"])


def test_an_engine_pads_most_inside_requests() -> None:
    uniform, mixed, long = engine_padding_rows(TARGETS["l40s"])
    assert uniform["merged"] == uniform["alone"] == 1.0
    for row in (mixed, long):
        assert 2 < float(row["alone"]) <= float(row["merged"]) < 10


def test_short_work_runs_as_often_as_fits_and_long_work_once() -> None:
    calls = []
    cpu_seconds_per_run(lambda: calls.append(1), 0.05, lambda: 0.0)
    assert len(calls) > 2
    calls.clear()
    cpu_seconds_per_run(lambda: calls.append(1), 0.0, lambda: 0.0)
    assert len(calls) == 1


def test_the_sweep_over_lengths_runs(repository: Path) -> None:
    ranker = bare_ranker(repository, settings_of(cpu_config(repository)))
    rows = tokens_rows(ranker, [16, 64, 256], 0.01, Progress())
    assert [row["tokens/pair"] for row in rows] == [16, 64, 256]
    assert all(float(row["CPU us/token"]) > 0 for row in rows)
