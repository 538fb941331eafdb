"""Queue and compute times of each server's steps, from Triton's own statistics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

TIMEOUT_S = 2.0
# the ensemble's models and the names of their steps in the metrics
MODELS = {"tokenizer": "tokenise", "ranker": "inference", "postprocessor": "postprocess"}


class TritonStatistics(Collector):
    """Asks the servers at every scrape. A server that does not answer is left out of that scrape."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = tuple(endpoints)
        self._connections: list[InferenceServerClient] = []
        self._statistics: list[tuple[str, Any]] = []

    async def refresh(self) -> None:
        """Ask every server."""
        # connect here, because a channel of grpc.aio belongs to the running event loop
        self._connections = self._connections or [InferenceServerClient(address) for address in self._endpoints]
        answers = await asyncio.gather(*map(self._ask, self._connections))
        self._statistics = [pair for pair in zip(self._endpoints, answers, strict=True) if pair[1] is not None]

    @staticmethod
    async def _ask(connection: InferenceServerClient) -> Any:
        try:
            return await connection.get_inference_statistics(client_timeout=TIMEOUT_S)
        except InferenceServerException:
            return None

    def collect(self) -> Iterable[Metric]:
        """Return the last refresh: seconds and executions by endpoint and step."""
        labels = ("endpoint", "step")
        queue = CounterMetricFamily(
            "packrank_step_queue_seconds", "Time that requests spent waiting for a step", labels=labels
        )
        compute = CounterMetricFamily(
            "packrank_step_compute_seconds", "Time that requests spent in a step", labels=labels
        )
        executions = CounterMetricFamily("packrank_step_executions", "Merged batches per step", labels=labels)
        for endpoint, answer in self._statistics:
            for model in answer.model_stats:
                if model.name in MODELS:
                    stats, place = model.inference_stats, (endpoint, MODELS[model.name])
                    parts = (stats.compute_input, stats.compute_infer, stats.compute_output)
                    queue.add_metric(place, stats.queue.ns / 1e9)
                    compute.add_metric(place, sum(part.ns for part in parts) / 1e9)
                    executions.add_metric(place, model.execution_count)
        return [queue, compute, executions]

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            await connection.close()
