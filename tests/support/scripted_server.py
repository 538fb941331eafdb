"""A gRPC server that speaks Triton's protocol and fails on demand.

It replaces tritonserver only where a test needs behaviour that a real one cannot be made to show. Its service is
tritonclient's own, its scores are checksums, and each byte is a token (more than the client estimates).
"""

from __future__ import annotations

import binascii
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor


@dataclass(frozen=True)
class SeenRequest:
    """A ModelInfer request as received."""

    model: str
    query: str
    passages: Sequence[str]
    truncate: str
    headers: dict[str, str]
    remaining_s: float
    shapes: dict[str, list[int]]


def logit_of(query: str, passage: str) -> float:
    """Return a multiple of 1/8 between -8 and 8, always the same for the same texts."""
    return binascii.crc32(f"{query}\n{passage}".encode()) % 129 / 8 - 8


def tokens_of(query: str, passage: str) -> int:
    return len(query.encode()) + len(passage.encode())


# What a test does with a request before the answer: nothing, wait, or context.abort.
Script = Callable[[SeenRequest, grpc.ServicerContext], None]


@dataclass
class ScriptedServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The service. A test may change its fields while it runs."""

    max_passages: int = 512
    max_request_tokens: int = 16384
    max_pair_tokens: int = 8192
    parameters: dict[str, str] | None = None  # of the tokenizer's configuration, in place of the limits
    script: Script | None = None
    lookup_script: Callable[[grpc.ServicerContext], None] | None = None
    ready: bool = True
    logits: list[list[float]] | None = None  # in place of the right answer
    seen: list[SeenRequest] = field(default_factory=list)
    lookups: int = 0
    cancelled: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    address: str = ""

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 (gRPC's name)
        return service_pb2.ModelReadyResponse(ready=self.ready)

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        assert request.name == "tokenizer"
        self.lookups += 1
        if self.lookup_script:
            self.lookup_script(context)
        limits = {"max_passages": self.max_passages, "max_request_tokens": self.max_request_tokens}
        response = service_pb2.ModelConfigResponse()
        for name, value in (limits if self.parameters is None else self.parameters).items():
            response.config.parameters[name].string_value = str(value)
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        seen = _read(request, context)
        self.seen.append(seen)
        if self.script:
            self.script(seen, context)
        tokens = [tokens_of(seen.query, passage) for passage in seen.passages]
        self._check(tokens, context)
        logits = self.logits or [[logit_of(seen.query, passage) for passage in seen.passages]]
        scores = [[1 / (1 + math.exp(-logit)) for logit in row] for row in logits]
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        _add_output(response, "scores", "FP32", np.array(scores, np.float32))
        _add_output(response, "logits", "FP32", np.array(logits, np.float32))
        _add_output(response, "token_counts", "INT32", np.array([tokens], np.int32))
        _add_output(response, "untruncated_token_counts", "INT32", np.array([tokens], np.int32))
        return response

    def _check(self, tokens: list[int], context: grpc.ServicerContext) -> None:
        def refuse(message: str) -> None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'reranker', {message}")

        if len(tokens) > self.max_passages:
            refuse(f"too_many_passages {{}}: the request has {len(tokens)}; the limit is {self.max_passages}.")
        for index, count in enumerate(tokens):
            if count > self.max_pair_tokens:
                facts = f'{{"passage":{index},"tokens":{count},"limit":{self.max_pair_tokens}}}'
                refuse(f"pair_too_long {facts}: passages[{index}] has {count} tokens; the limit is lower. Shorten it.")
        if sum(tokens) > self.max_request_tokens:
            refuse(f"too_many_tokens {{}}: the request has {sum(tokens)} tokens in {len(tokens)} pairs. Send fewer.")

    def hold(self, seen: SeenRequest, context: grpc.ServicerContext) -> None:
        """Script: give no answer until the client gives up."""
        over = threading.Event()
        if not context.add_callback(over.set):
            over.set()
        assert over.wait(60)
        self.cancelled.release()
        context.abort(grpc.StatusCode.CANCELLED, "given up")


def refuse_with(code: grpc.StatusCode, message: str = "on demand") -> Script:
    """Make a script that fails every request."""

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        context.abort(code, message)

    return script


@contextmanager
def scripted_server(
    credentials: grpc.ServerCredentials | None = None, *, port: int = 0, **fields: Any
) -> Iterator[ScriptedServer]:
    """Run a server on this machine; port 0 means any free port."""
    service = ScriptedServer(**fields)
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(64), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    if credentials is None:
        port = server.add_insecure_port(f"localhost:{port}")
    else:
        port = server.add_secure_port(f"localhost:{port}", credentials)
    service.address = f"localhost:{port}"
    server.start()
    try:
        yield service
    finally:
        server.stop(grace=None).wait()


def _read(request: Any, context: grpc.ServicerContext) -> SeenRequest:
    inputs = [tensor.name for tensor in request.inputs]
    texts = {
        name: [text.decode() for text in deserialize_bytes_tensor(content)]
        for name, content in zip(inputs, request.raw_input_contents, strict=True)
    }
    return SeenRequest(
        model=request.model_name,
        query=texts["query"][0],
        passages=texts["passages"],
        truncate=request.parameters["truncate"].string_param,
        headers={key: str(value) for key, value in context.invocation_metadata()},
        remaining_s=context.time_remaining(),
        shapes={tensor.name: list(tensor.shape) for tensor in request.inputs},
    )


def _add_output(response: Any, name: str, datatype: str, tensor: np.ndarray[Any, Any]) -> None:
    response.outputs.add(name=name, datatype=datatype, shape=tensor.shape)
    response.raw_output_contents.append(tensor.tobytes())
