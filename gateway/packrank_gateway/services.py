"""The services of one application: its clients, limits, metrics and model facts."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from packrank_client import AsyncRerankClient
from packrank_gateway.model_facts import model_facts
from packrank_gateway.model_names import ModelNames
from packrank_gateway.reranker import Reranker
from packrank_gateway.scheduling.admission import Admission, Load
from packrank_gateway.scheduling.model_server import ModelServer
from packrank_gateway.scheduling.readiness import Readiness
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
    "max_running_tokens",
    "body_timeout_s",
    "timeout_s",
    "max_timeout_s",
)


class Services:
    """Builds and connects the services. Raises SettingsError for settings that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.version = importlib.metadata.version("packrank")
        self.facts = model_facts(settings.model_directory)
        self.models = ModelNames(settings.model_names, strict=settings.strict_model_names)
        # no waiting for servers to come back: the caller may have another gateway to ask
        self.client = AsyncRerankClient(settings.triton, await_return=False)
        self.servers = [ModelServer(endpoint, settings.max_running_tokens) for endpoint in settings.triton]
        self.admission = Admission(
            Load(settings.max_pending_pairs, settings.max_pending_tokens, settings.max_pending_body_bytes),
            max_body_bytes=settings.max_body_bytes,
        )
        self.reranker = Reranker(self.client, self.admission, self.servers, max_pair_tokens=self.facts.max_pair_tokens)
        self.readiness = Readiness(self.servers)
        self.metrics = Metrics(self.admission)
        self.triton_statistics = TritonStatistics(settings.triton)
        self.metrics.registry.register(self.triton_statistics)

    def limits(self) -> dict[str, Any]:
        """Return the limits in force, by the names of their settings, and the model's."""
        limits = {name: getattr(self.settings, name) for name in _LIMITS}
        return limits | {"max_pair_tokens": self.facts.max_pair_tokens}

    async def metrics_response(self) -> Response:
        """Return all metrics in Prometheus's format, with those of the model servers."""
        await self.triton_statistics.refresh()
        return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def close(self) -> None:
        """Close the connections to the model servers."""
        for server in self.servers:
            await server.close()
        await self.triton_statistics.close()
        await self.client.close()


def services_of(request: Request) -> Services:
    """Return the services of the application that handles a request."""
    services: Services = request.app.state.services
    return services
