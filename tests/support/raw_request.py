"""Raw gRPC requests, for what a well-behaved client would never send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc


def text_input(name: str, rows: Sequence[Sequence[bytes]]) -> Any:
    """Build a BYTES tensor of the given rows."""
    tensor = grpc.InferInput(name, [len(rows), len(rows[0])], "BYTES")
    array = np.empty((len(rows), len(rows[0])), np.object_)
    for row, texts in enumerate(rows):
        array[row] = texts
    tensor.set_data_from_numpy(array)
    return tensor


def number_input(name: str, values: Sequence[Sequence[int]], dtype: str = "INT32") -> Any:
    """Build an integer tensor of the given rows."""
    array = np.array(values, {"INT32": np.int32, "INT64": np.int64}[dtype])
    tensor = grpc.InferInput(name, list(array.shape), dtype)
    tensor.set_data_from_numpy(array)
    return tensor


def ask(
    endpoint: str, query: bytes, passages: Sequence[bytes], parameters: dict[str, Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Send one well-formed request; return outputs by name, without the batch dimension."""
    with grpc.InferenceServerClient(endpoint) as client:
        inputs = [text_input("query", [[query]]), text_input("passages", [passages])]
        answer = client.infer("reranker", inputs, parameters=parameters, client_timeout=60)
        return {name: answer.as_numpy(name)[0] for name in ("scores", "logits", "token_counts")}
