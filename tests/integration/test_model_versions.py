"""Two models in one server: Triton's versions 1 and 2 of tokenizer and ranker, an ensemble for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from packrank_build.make_model import make_model
from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.checkpoints import CHECKPOINTS, DIRECTORY, golden_questions
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.repository import copied_repository

SECOND = "bidirectional_temperature"


@pytest.fixture(scope="module")
def endpoint(repository: Path, llama3_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("model-versions")
    both = copied_repository(repository, work / "model_repository")
    write_random_checkpoint(work / SECOND, llama3_tokenizer, "tiny", **CHECKPOINTS[SECOND])
    make_model(str(work / SECOND), both, max_pair_tokens=512, version=2)
    with TritonServer(both, ports=free_ports(), log=work / "log") as server:
        yield server.grpc_endpoint


@pytest.mark.parametrize(("ensemble", "golden"), [("reranker", "bidirectional"), ("reranker_v2", SECOND)])
def test_each_ensemble_gives_its_own_models_scores(ensemble: str, golden: str, endpoint: str) -> None:
    expected = json.loads((DIRECTORY / f"{golden}.json").read_text())["logits"]
    with RerankClient(endpoint, model=ensemble) as client:
        for question, logits in list(zip(golden_questions(), expected, strict=True))[:3]:
            results = sorted(client.rerank(question.query, question.passages), key=lambda result: result.index)
            np.testing.assert_allclose([result.logit for result in results], logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("ensemble", "tokens"), [("reranker", 1024), ("reranker_v2", 512)])
def test_each_ensemble_keeps_its_own_models_limit(ensemble: str, tokens: int, endpoint: str) -> None:
    with RerankClient(endpoint, model=ensemble) as client:
        (result,) = client.rerank("why?", ["word " * 2000], truncate="END")
    assert result.token_count == tokens
