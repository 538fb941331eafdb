"""The gateway's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from packrank_gateway.scheduling.admission import Admission
from packrank_gateway.telemetry.request_record import RequestRecord

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_PAIRS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """Metrics in a separate registry, so that one process can hold several gateways."""

    def __init__(self, admission: Admission) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Pending(admission))
        labels = ("dialect",)
        self._requests = Counter(
            "packrank_requests", "Requests by dialect and HTTP status", ("dialect", "status"), registry=self.registry
        )
        self._refusals = Counter(
            "packrank_refused_requests", "Requests without scores, by kind of error", ("kind",), registry=self.registry
        )
        self._pairs = Counter("packrank_pairs", "Scored query-passage pairs", labels, registry=self.registry)
        self._tokens = Counter(
            "packrank_tokens", "Tokens of scored pairs, after truncation", labels, registry=self.registry
        )
        self._truncated = Counter(
            "packrank_truncated_passages", "Passages with their tail cut", labels, registry=self.registry
        )
        self._request_pairs = Histogram(
            "packrank_request_pairs", "Pairs per request", buckets=_PAIRS, registry=self.registry
        )
        self._duration = Histogram(
            "packrank_request_duration_seconds",
            "Time from the headers to the answer",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "packrank_stage_duration_seconds",
            "receive: the body; rerank: the whole ensemble; tokenise, and rank with its queue: parts of it",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def count(self, record: RequestRecord) -> None:
        """Count one finished request."""
        dialect = record.dialect.value
        self._requests.labels(dialect, str(record.status or 0)).inc()
        self._duration.labels(dialect).observe(record.elapsed_s())
        for stage, seconds in record.stages_s.items():
            self._stages.labels(stage).observe(seconds)
        if record.error_kind:
            self._refusals.labels(record.error_kind).inc()
        elif record.pairs:
            self._pairs.labels(dialect).inc(record.pairs)
            self._tokens.labels(dialect).inc(record.tokens)
            self._truncated.labels(dialect).inc(record.truncated)
            self._request_pairs.observe(record.pairs)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's exposition format."""
        return generate_latest(self.registry)


class _Pending(Collector):
    """Pending work at the moment of the scrape, and its limits."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> list[Metric]:
        """Return one gauge of pending work and one of its limit for pairs, tokens and body bytes."""
        gauges: list[Metric] = []
        for name in ("pairs", "tokens", "body_bytes"):
            now, limit = getattr(self._admission.pending, name), getattr(self._admission.limit, name)
            gauges.append(GaugeMetricFamily(f"packrank_pending_{name}", f"{name} of pending requests", now))
            gauges.append(GaugeMetricFamily(f"packrank_max_pending_{name}", f"limit of pending {name}", limit))
        return gauges
