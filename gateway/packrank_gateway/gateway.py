"""What a running gateway consists of."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from packrank_client import AsyncRerankClient
from packrank_gateway.admission import Admission, Load
from packrank_gateway.health import Readiness
from packrank_gateway.model_facts import model_facts
from packrank_gateway.reranker import Reranker
from packrank_gateway.served_models import ServedModels
from packrank_gateway.settings import Settings
from packrank_gateway.telemetry.metrics import Metrics
from packrank_gateway.telemetry.triton_statistics import TritonStatistics

_LIMITS = (
    "max_passages",
    "max_documents",
    "max_body_bytes",
    "max_pending_pairs",
    "max_pending_tokens",
    "max_pending_body_bytes",
    "timeout_s",
    "max_timeout_s",
)


class Gateway:
    """The parts of one application. Raises SettingsError for settings that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.version = importlib.metadata.version("packrank")
        self.facts = model_facts(settings.model_directory)
        self.models = ServedModels(settings.model_names, strict=settings.strict_model_names)
        self.client = AsyncRerankClient(settings.triton)
        self.admission = Admission(
            Load(settings.max_pending_pairs, settings.max_pending_tokens, settings.max_pending_body_bytes)
        )
        self.reranker = Reranker(self.client, self.admission, max_pair_tokens=self.facts.max_pair_tokens)
        self.readiness = Readiness(self.client, self.reranker)
        self.metrics = Metrics(self.admission)
        self.triton_statistics = TritonStatistics(settings.triton)
        self.metrics.registry.register(self.triton_statistics)

    def limits(self) -> dict[str, Any]:
        """The effective limits, by the names of their settings, and the model's."""
        settings = asdict(self.settings)
        return {name: settings[name] for name in _LIMITS} | {"max_pair_tokens": self.facts.max_pair_tokens}

    async def metrics_response(self) -> Response:
        """All metrics in Prometheus's format, those of the servers behind included."""
        await self.triton_statistics.refresh()
        return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def close(self) -> None:
        """Close the connections to the servers."""
        await self.triton_statistics.close()
        await self.client.close()


def gateway_of(request: Request) -> Gateway:
    """The gateway that a request came to."""
    gateway: Gateway = request.app.state.gateway
    return gateway
