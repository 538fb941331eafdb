"""One gateway in front of the suite's tritonserver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrank_backend.tritonserver import TritonServer

from .running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="session")
def gateway(server: TritonServer, repository: Path) -> Iterator[RunningGateway]:
    """With the default settings, but small limits of passages."""
    settings = {"max_passages": 16, "max_documents": 600, "model_directory": repository / "tokenizer" / "1"}
    with running_gateway(server.grpc_endpoint, **settings) as running:
        yield running
