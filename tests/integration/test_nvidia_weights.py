"""The model card's own example, with the real weights: `make test NVIDIA_MODEL=<directory or hub id>`."""

import os
from pathlib import Path

import numpy as np
import pytest

from packrank_build.make_model import make_model
from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.repository import empty_repository

# https://huggingface.co/nvidia/llama-nemotron-rerank-1b-v2: computed in bf16, hence the tolerance
QUERY = "how much protein should a female eat?"
PASSAGES = [
    "As a general guideline, the CDC's average requirement of protein for women ages 19 to 70 is 46 grams per day. "
    "But, as you can see from this chart, you'll need to increase that if you're expecting or training for a marathon. "
    "Check out the chart below to see how much protein you should be eating each day.",
    "Definition of summit for English Language Learners. : 1  the highest point of a mountain : the top of a mountain. "
    ": 2  the highest level. : 3  a meeting or series of meetings between the leaders of two or more governments.",
    "Calorie intake should not fall below 1,200 a day in women or 1,500 a day in men, except under the supervision of "
    "a health professional.",
]
LOGITS = [20.6250, -23.1250, -0.2617]
TOLERANCE = 0.5


@pytest.mark.skipif(not os.environ.get("NVIDIA_MODEL"), reason="needs NVIDIA's weights: make test NVIDIA_MODEL=...")
def test_the_model_cards_example(tmp_path: Path) -> None:
    repository = empty_repository(tmp_path / "model_repository")
    make_model(os.environ["NVIDIA_MODEL"], repository)
    with TritonServer(repository, ports=free_ports(), log=tmp_path / "log") as server:
        with RerankClient(server.grpc_endpoint, timeout_s=600) as client:
            results = client.rerank(QUERY, PASSAGES)
    logits = [result.logit for result in sorted(results, key=lambda result: result.index)]
    np.testing.assert_allclose(logits, LOGITS, rtol=0, atol=TOLERANCE)
