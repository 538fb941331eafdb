"""What a caller of a running server may ask: to rank and to look, but nothing that changes or shows the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer

Ask = Callable[[InferenceServerClient], object]


@pytest.fixture
def grpc_client(server: TritonServer) -> Iterator[InferenceServerClient]:
    connected = InferenceServerClient(server.grpc_endpoint)
    yield connected
    connected.close()


@pytest.fixture
def http_client(server: TritonServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.ports.http}") as connected:
        yield connected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/systemsharedmemory/region/mine/register"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/cudasharedmemory/region/mine/register"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/ranker/unload"),
        ("GET", "/v2/trace/setting"),
        ("POST", "/v2/models/ranker/trace/setting"),
        ("POST", "/v2/logging"),
    ],
)
def test_an_administrative_path_is_refused(method: str, path: str, http_client: httpx.Client) -> None:
    body = {"key": "/region", "offset": 0, "byte_size": 64} if method == "POST" else None
    answer = http_client.request(method, path, json=body)
    assert answer.status_code == 403, answer.text
    assert "restricted" in answer.text


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda client: client.register_system_shared_memory("mine", "/region", 64), id="shared-memory"),
        pytest.param(lambda client: client.get_system_shared_memory_status(), id="shared-memory status"),
        pytest.param(lambda client: client.get_model_repository_index(), id="model-repository"),
        pytest.param(lambda client: client.unload_model("ranker"), id="unload"),
        pytest.param(lambda client: client.update_trace_settings(settings={"trace_level": "TENSORS"}), id="trace"),
        pytest.param(lambda client: client.update_log_settings({"log_verbose_level": 9}), id="logging"),
    ],
)
def test_an_administrative_call_is_refused(ask: Ask, grpc_client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        ask(grpc_client)


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/reranker",
        "/v2/models/reranker/ready",
        "/v2/models/reranker/config",
        "/v2/models/reranker/stats",
    ],
)
def test_health_metadata_config_and_statistics_stay_open(path: str, http_client: httpx.Client) -> None:
    assert http_client.get(path).status_code == 200


def test_inference_config_and_statistics_stay_open_over_grpc(
    server: TritonServer, grpc_client: InferenceServerClient
) -> None:
    assert grpc_client.get_model_config("reranker").config.name == "reranker"
    assert grpc_client.get_model_metadata("reranker").name == "reranker"
    with RerankClient(server.grpc_endpoint) as client:
        assert len(client.rerank("who?", ["me", "you"])) == 2
    (statistics,) = grpc_client.get_inference_statistics("reranker").model_stats
    assert statistics.inference_stats.success.count
