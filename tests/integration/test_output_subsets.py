"""Every subset of every ensemble's outputs, over every protocol of Triton.

Triton runs only the steps that the named outputs need. An ensemble whose outputs come from several steps answers some
subsets with "unexpected deadlock".
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient import grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_server.tritonserver import TritonServer
from tests.support.raw_request import text_input
from tests.support.repository import ROOT

TEXTS = ["two roads diverged", "", "東京へ行く道"]
OUTPUTS = {
    "reranker": ("scores", "logits", "token_counts", "untruncated_token_counts", "stage_times_us"),
    "nvidia_llama_3_2_nv_rerankqa_1b_v2": ("index", "logit", "token_count"),
    "nvidia_llama_nemotron_rerank_1b_v2": ("index", "logit", "token_count"),
}
SUBSETS = [
    (model, subset)
    for model, names in OUTPUTS.items()
    for subset in chain.from_iterable(combinations(names, count) for count in range(1, len(names) + 1))
]


def inputs(model: str) -> list[Any]:
    encoded = [text.encode() for text in TEXTS]
    if model == "reranker":
        return [text_input("query", [[b"why?"]]), text_input("passages", [encoded])]
    return [text_input("query", [[b"why?"]]), text_input("passage", [[text] for text in encoded])]


def wanted(subset: Sequence[str]) -> list[Any]:
    return [grpc.InferRequestedOutput(name) for name in subset]


def over_grpc(server: TritonServer, model: str, subset: Sequence[str]) -> dict[str, Any]:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        answer = client.infer(model, inputs(model), outputs=wanted(subset), client_timeout=60)
    return {name: answer.as_numpy(name) for name in subset}


def over_a_stream(server: TritonServer, model: str, subset: Sequence[str]) -> dict[str, Any]:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer(model, inputs(model), outputs=wanted(subset))
        result, error = answers.get(timeout=60)
        assert error is None, error
        return {name: result.as_numpy(name) for name in subset}


def over_rest(server: TritonServer, model: str, subset: Sequence[str]) -> dict[str, Any]:
    passages = ("passages", [1, len(TEXTS)]) if model == "reranker" else ("passage", [len(TEXTS), 1])
    body = {
        "inputs": [
            {"name": "query", "shape": [1, 1], "datatype": "BYTES", "data": ["why?"]},
            {"name": passages[0], "shape": passages[1], "datatype": "BYTES", "data": TEXTS},
        ],
        "outputs": [{"name": name} for name in subset],
    }
    answer = httpx.post(f"http://{server.host}:{server.ports.http}/v2/models/{model}/infer", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return {out["name"]: np.array(out["data"]).reshape(out["shape"]) for out in answer.json()["outputs"]}


def test_every_ensemble_and_output_is_here() -> None:
    files = [file for file in (ROOT / "model_repository").glob("*/config.pbtxt") if "reranker_v" not in str(file)]
    configs = [text_format.Parse(file.read_text(), ModelConfig()) for file in files]
    ensembles = {
        config.name: {output.name for output in config.output} for config in configs if config.platform == "ensemble"
    }
    assert ensembles == {model: set(names) for model, names in OUTPUTS.items()}


@pytest.mark.parametrize(("model", "subset"), SUBSETS, ids=[f"{model}-{'-'.join(names)}" for model, names in SUBSETS])
def test_a_subset_is_answered(model: str, subset: Sequence[str], server: TritonServer) -> None:
    whole = over_grpc(server, model, OUTPUTS[model])
    for ask in (over_grpc, over_a_stream, over_rest):
        answer = ask(server, model, subset)
        assert set(answer) == set(subset)
        for name, array in answer.items():
            assert array.shape == whole[name].shape
            if name != "stage_times_us":
                np.testing.assert_allclose(array, whole[name], rtol=0, atol=1e-5)
