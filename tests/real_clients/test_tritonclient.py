"""tritonclient as in NVIDIA's gRPC reference: asyncio, the query with every passage, `truncate` in lower case."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient

from .conftest import PASSAGES, QUERY, Expected


async def compute(model: str, query: str, passages: list[str], truncate: str) -> dict[str, Any]:
    async with grpcclient.InferenceServerClient(url=os.environ["TRITON_GRPC"]) as client:
        texts = {"query": [query] * len(passages), "passage": passages}
        inputs = []
        for name, values in texts.items():
            array = np.array([[value.encode()] for value in values], dtype=np.object_)
            tensor = grpcclient.InferInput(name, array.shape, "BYTES")
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        wanted = [grpcclient.InferRequestedOutput(name) for name in ("index", "logit", "token_count")]
        answer = await client.infer(model, inputs, outputs=wanted, parameters={"truncate": truncate})
        return {name: answer.as_numpy(name) for name in ("index", "logit", "token_count")}


@pytest.mark.parametrize("model", ["nvidia_llama_3_2_nv_rerankqa_1b_v2", "nvidia_llama_nemotron_rerank_1b_v2"])
@pytest.mark.parametrize("truncate", ["end", "none"])
def test_the_documented_call(expected: Expected, model: str, truncate: str) -> None:
    answer = asyncio.run(compute(model, QUERY, PASSAGES, truncate))
    assert answer["index"].flatten().tolist() == expected.order
    assert answer["logit"].flatten().tolist() == pytest.approx(expected.logits, abs=1e-4)
    assert answer["token_count"].shape == (len(PASSAGES),)
