"""The config `torch` through a real tritonserver, on the CPU: `make check-goldens` runs this where torch is installed.

The server is that of the environment that runs the tests. Its model processes take `.venv-torch` where that has torch
and the tests' own environment has not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient import grpc

from packrank_server import tritonserver
from packrank_server.installation import find_installation
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.integration.test_merging import ask_at_once, counts, requests_that_merge
from tests.support.checkpoints import DIRECTORY, golden_questions
from tests.support.raw_request import ask
from tests.support.repository import ROOT

ENVIRONMENTS = (Path(sys.prefix), ROOT / ".venv-torch")
WITH_TORCH = [place for place in ENVIRONMENTS if next(place.glob("lib/python*/site-packages/torch/__init__.py"), None)]
pytestmark = pytest.mark.skipif(not WITH_TORCH, reason="needs torch: `make check-goldens` runs it")
GOLDEN = json.loads((DIRECTORY / "bidirectional.json").read_text())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch") / "tritonserver.log"


@pytest.fixture(scope="module")
def torch_server(repository: Path, log: Path) -> Iterator[TritonServer]:
    with pytest.MonkeyPatch.context() as patch:
        installation = find_installation()
        path = f"{WITH_TORCH[0] / 'bin'}:{installation.environment.get('PATH', '')}"
        with_torch = replace(installation, environment=installation.environment | {"PATH": path})
        patch.setattr(tritonserver, "find_installation", lambda: with_torch)
        with TritonServer(repository, config_name="torch", ports=free_ports(), log=log) as running:
            yield running


def test_it_says_that_it_runs_on_the_cpu(torch_server: TritonServer, log: Path) -> None:
    assert "ranker: no GPU here: PyTorch" in log.read_text()
    with grpc.InferenceServerClient(torch_server.grpc_endpoint) as client:
        served = client.get_model_config("ranker").config
    assert served.parameters["runtime"].string_value == "torch"


@pytest.mark.parametrize("place", range(len(golden_questions())))
def test_scores_are_hugging_faces(place: int, torch_server: TritonServer) -> None:
    question = golden_questions()[place]
    passages = [passage.encode() for passage in question.passages]
    answer = ask(torch_server.grpc_endpoint, question.query.encode(), passages)
    np.testing.assert_allclose(answer["logits"], GOLDEN["logits"][place], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(answer["token_counts"], GOLDEN["token_counts"][place])


def test_merged_requests_score_as_alone(torch_server: TritonServer) -> None:
    requests = requests_that_merge()
    alone = [ask(torch_server.grpc_endpoint, *request) for request in requests]
    before = counts(torch_server)
    merged = ask_at_once(torch_server.grpc_endpoint, requests)
    served, executed = np.subtract(counts(torch_server)["ranker"], before["ranker"])
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_allclose(other["logits"], one["logits"], rtol=0, atol=1e-5)
    assert served == len(requests)
    assert executed < len(requests)
