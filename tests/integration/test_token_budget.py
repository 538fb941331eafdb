"""Which merged batches the ranker executes: a copy of its model.py records every batch."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient import grpc

from packrank_backend.packing import PackedPairs, pack
from packrank_backend.ranker.cpu_ranker import CpuRanker, published_ranker
from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from packrank_server.unmerged_config import LIBRARY_FILE
from tests.integration.test_configs import parse
from tests.support.raw_request import ask, number_input
from tests.support.repository import ROOT, copied_repository

LIMITS = {"max_batch_tokens": 1000, "max_batch_pairs": 24, "max_batch_padded_tokens": 2000}
RECORDER = """
_record = Path(__file__).with_name("batches.jsonl").open("a", buffering=1)
_execute = TritonPythonModel.execute

def _recorded_execute(self, requests):
    names = ("input_ids", "seq_lens", "max_len_carrier")
    sizes = [[int(array_from_tensor(request, name).size) for name in names] for request in requests]
    _record.write(json.dumps(sizes) + "\\n")
    return _execute(self, requests)

TritonPythonModel.execute = _recorded_execute
"""


def limit(repository: Path, **limits: int | str) -> None:
    """Set limits in the `cpu` config of a copied repository."""
    path = repository / "ranker" / "configs" / "cpu.pbtxt"
    text = path.read_text()
    for key, value in limits.items():
        text, found = re.subn(rf'(key: "{key}" value: {{ string_value: )"\d+"', rf'\1"{value}"', text)
        assert found == 1
    path.write_text(text)


@dataclass
class Recorded:
    """A server that records its batches: (tokens, pairs, longest pair) of each request of each batch."""

    server: TritonServer
    ranker: CpuRanker
    directory: Path

    def batches(self) -> list[list[tuple[int, int, int]]]:
        """Read all batches so far, in the order of their execution."""
        lines = (self.directory / "batches.jsonl").read_text().splitlines()
        return [[(sizes[0], sizes[1], sizes[2]) for sizes in json.loads(line)] for line in lines]


@pytest.fixture(scope="module")
def recorded(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    directory = tmp_path_factory.mktemp("recorded")
    copy = copied_repository(repository, directory / "model_repository")
    limit(copy, **LIMITS)
    version = copy / "ranker" / "1"
    with (version / "model.py").open("a") as model:
        model.write(RECORDER)
    ranker = published_ranker(version, threads=1, max_run_tokens=1024, max_attention_bytes=1 << 29)
    with TritonServer(copy, ports=free_ports(), log=directory / "log") as server:
        yield Recorded(server, ranker, version)


def burst(server: TritonServer, requests: list[PackedPairs]) -> list[Any]:
    """Send all requests to the ranker at once; logits in their order."""
    answers: Queue[tuple[int, Any, Any]] = Queue()
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        for place, packed in enumerate(requests):
            client.async_infer(
                "ranker",
                [number_input(name, [tensor.tolist()]) for name, tensor in packed.tensors().items()],
                lambda result, error, place=place: answers.put((place, result, error)),
                client_timeout=60,
            )
        logits: dict[int, Any] = {}
        for _ in requests:
            place, result, error = answers.get(timeout=70)
            assert error is None, error
            logits[place] = result.as_numpy("logits")[0]
    return [logits[place] for place in range(len(requests))]


def over(batch: list[tuple[int, int, int]]) -> list[str]:
    """Name the limits that a batch of several requests exceeds."""
    tokens, pairs, longest = zip(*batch, strict=True)
    sizes = {
        "max_batch_tokens": sum(tokens),
        "max_batch_pairs": sum(pairs),
        "max_batch_padded_tokens": sum(pairs) * max(longest),
    }
    return [name for name, size in sizes.items() if size > LIMITS[name]] if len(batch) > 1 else []


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    requests=st.integers(1, 48),
    typical_tokens=st.sampled_from([4, 30, 150, 400]),
    max_pairs=st.sampled_from([1, 3, 12, 40]),
)
def test_no_batch_exceeds_a_limit(
    seed: int, requests: int, typical_tokens: int, max_pairs: int, recorded: Recorded
) -> None:
    random = np.random.default_rng(seed)
    sent = []
    for _ in range(requests):
        lengths = random.lognormal(np.log(typical_tokens), 0.8, random.integers(1, max_pairs + 1)).clip(1, 1000)
        sent.append(pack([random.integers(0, 128256, int(length)).tolist() for length in lengths]))
    before = len(recorded.batches())
    answers = burst(recorded.server, sent)  # the first batch of each burst comes after idleness
    executed = recorded.batches()[before:]
    for packed, logits in zip(sent, answers, strict=True):
        np.testing.assert_allclose(logits, recorded.ranker.logits([packed])[0], rtol=0, atol=1e-4)
    assert sorted(sizes for batch in executed for sizes in batch) == sorted(
        (packed.input_ids.size, packed.seq_lens.size, packed.max_len) for packed in sent
    )
    for batch in executed:
        assert not over(batch), batch


@pytest.mark.parametrize(
    ("lengths", "fit"),
    [
        pytest.param([50] * 2, 10, id="max_batch_tokens"),
        pytest.param([2] * 4, 6, id="max_batch_pairs"),
        pytest.param([160, 1, 1], 4, id="max_batch_padded_tokens"),
    ],
)
def test_each_limit_is_used_to_the_full(lengths: list[int], fit: int, recorded: Recorded) -> None:
    request = pack([[7] * length for length in lengths])
    before = len(recorded.batches())
    # a large request first, so that the others gather in the queue
    burst(recorded.server, [pack([[7] * 1000] * 8), *[request] * 60])
    sizes = [len(batch) for batch in recorded.batches()[before:]]
    assert max(sizes) == fit


def test_a_request_over_the_limits_runs_alone(recorded: Recorded) -> None:
    large = pack([[7] * 700] * 3)
    before = len(recorded.batches())
    burst(recorded.server, [pack([[7] * 20])] * 20 + [large] + [pack([[7] * 20])] * 20)
    (batch,) = [batch for batch in recorded.batches()[before:] if (2100, 3, 700) in batch]
    assert len(batch) == 1


def test_the_ensemble_is_limited_too(recorded: Recorded) -> None:
    expected = ask(recorded.server.grpc_endpoint, b"why?", [b" word" * 100] * 4)["logits"]
    before = len(recorded.batches())
    answers: Queue[Any] = Queue()
    with grpc.InferenceServerClient(recorded.server.grpc_endpoint) as client:
        inputs = [grpc.InferInput("query", [1, 1], "BYTES"), grpc.InferInput("passages", [1, 4], "BYTES")]
        inputs[0].set_data_from_numpy(np.array([[b"why?"]], np.object_))
        inputs[1].set_data_from_numpy(np.array([[b" word" * 100] * 4], np.object_))
        for _ in range(40):
            client.async_infer("reranker", inputs, lambda result, error: answers.put((result, error)))
        for _ in range(40):
            result, error = answers.get(timeout=70)
            assert error is None, error
            np.testing.assert_allclose(result.as_numpy("logits")[0], expected, rtol=0, atol=1e-5)
    executed = recorded.batches()[before:]
    assert sum(map(len, executed)) == 40
    assert max(map(len, executed)) == 2  # of four pairs of about 108 tokens each
    assert not any(map(over, executed))


@pytest.mark.parametrize(
    "config", sorted((ROOT / "model_repository" / "ranker").glob("**/*.pbtxt")), ids=lambda path: path.stem
)
def test_every_config_of_the_ranker_closes_its_batches(config: Path) -> None:
    parsed = parse(config)
    if config.stem.endswith("-unmerged"):
        assert not parsed.HasField("dynamic_batching")
        return
    batching = parsed.dynamic_batching
    assert list(batching.preferred_batch_size) == list(range(1, parsed.max_batch_size + 1))
    assert not batching.max_queue_delay_microseconds
    assert parsed.parameters.keys() >= LIMITS.keys()


def test_a_limit_that_is_no_number_keeps_the_server_from_starting(repository: Path, tmp_path: Path) -> None:
    copy = copied_repository(repository, tmp_path / "model_repository")
    limit(copy, max_batch_pairs="many")
    server = TritonServer(copy, ports=free_ports(), log=tmp_path / "log")
    with pytest.raises(ServerStartError, match="max_batch_pairs must be a positive number"), server:
        pass


def test_without_the_library_requests_run_one_at_a_time(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = copied_repository(repository, tmp_path / "model_repository")
    (copy / "ranker" / "1" / LIBRARY_FILE).unlink()
    with TritonServer(copy, ports=free_ports(), log=tmp_path / "log") as server:
        assert f"Without {LIBRARY_FILE} the ranker runs one request at a time." in capfd.readouterr().err
        request = pack([[7] * 50] * 2)
        answers = burst(server, [request] * 30)
        np.testing.assert_allclose(answers, [answers[0]] * 30, rtol=0, atol=1e-5)
        with grpc.InferenceServerClient(server.grpc_endpoint) as client:
            stats = client.get_inference_statistics("ranker").model_stats[0]
    assert stats.execution_count == stats.inference_count == 30
