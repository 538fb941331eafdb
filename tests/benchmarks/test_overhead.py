from pathlib import Path

import numpy as np

from benchmarks.empty_ensemble import add_empty_ensemble
from benchmarks.local_ensemble import bare_ranker, linked_copy, merged, published_tokenizer, ranker_parameters
from benchmarks.overhead import SHORT, Compared, empty_ensemble, latency, rows, step_rows, throughput
from benchmarks.step_statistics import STEPS, StepStatistics
from benchmarks.workload import mixed_questions
from packrank_backend.packing import PackedPairs
from packrank_server.tritonserver import TritonServer, free_ports

LIMITS = {"max_batch_tokens": 100, "max_batch_pairs": 4, "max_batch_padded_tokens": 120}


def request(*lengths: int) -> PackedPairs:
    return PackedPairs(np.zeros(sum(lengths), np.int32), np.array(lengths, np.int32))


def test_requests_merge_as_long_as_every_limit_holds() -> None:
    requests = [request(40), request(40), request(30), request(1, 1, 1), request(1), request(200), request(50, 9)]
    batches = [[part.seq_lens.tolist() for part in batch] for batch in merged(requests, LIMITS)]
    assert batches == [
        [[40], [40]],  # with 30 more: 110 tokens
        [[30], [1, 1, 1]],  # 4 pairs x 30 = 120 padded tokens; a fifth pair is over two limits
        [[1]],
        [[200]],  # over a limit by itself: alone
        [[50, 9]],
    ]


def test_rows_have_the_median_of_each_rounds_own_ratio_and_difference() -> None:
    steps = {"ranker": StepStatistics(requests=4, executions=2, queue_ns=8_000_000, compute_ns=12_000_000)}
    saturated = Compared([90.0, 80.0, 190.0], [100.0, 100.0, 200.0], steps)
    alone = Compared([12.0, 13.0, 30.0], [10.0, 10.0, 26.0], steps)
    first, second, third = rows(saturated, alone, [2.0, 9.0, 3.0])
    assert (first["ensemble"], first["bare ranker"], first["overhead"]) == (90, 100, "10.0 %")
    assert (second["ensemble"], second["bare ranker"], second["overhead"]) == (13.0, 10.0, "+3.00 ms")
    assert third["ensemble"] == 3.0
    (row,) = step_rows({"saturated": saturated})
    assert (row["queue ms"], row["compute ms"], row["requests/run"]) == (2.0, 3.0, 2.0)


def test_both_ways_are_measured_on_a_running_server(server: TritonServer, repository: Path) -> None:
    endpoint, tokenizer = server.grpc_endpoint, published_tokenizer(repository)
    ranker = bare_ranker(repository, ranker_parameters(endpoint))
    for compared in (
        latency(endpoint, ranker, tokenizer, SHORT, 3),
        throughput(endpoint, ranker, tokenizer, mixed_questions(3), 3),
    ):
        assert len(compared.ensemble) == len(compared.bare) == 3
        assert min(compared.ensemble + compared.bare) > 0
        assert {compared.steps[step].requests for step in STEPS} <= {3, 9}


def test_the_empty_ensemble_is_measured_beside_the_built_model(repository: Path, tmp_path: Path) -> None:
    copy = linked_copy(repository, tmp_path / "repository")
    add_empty_ensemble(copy)
    with TritonServer(copy, ports=free_ports(), log=tmp_path / "log") as server:
        endpoint = server.grpc_endpoint
        ranker = bare_ranker(repository, ranker_parameters(endpoint))
        measured_ms = empty_ensemble(endpoint, ranker, published_tokenizer(repository), SHORT, 2)
    assert len(measured_ms) == 2
    assert min(measured_ms) > 0
