"""Metrics that are measured as things happen, and the registry of every metric of one server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest

from api.metrics.gauges import StateCollector
from ledger.store.instrumentation import CommandBatch, NoInstrumentation

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Histograms(NoInstrumentation):
    """Measures the writer, the event store and the dispatcher, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._latency = Histogram(
            "jobledger_command_latency_seconds",
            "From submitting commands to their durable answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "jobledger_batch_size_commands",
            "Commands decided and committed in one transaction.",
            buckets=SIZES,
            registry=registry,
        )
        self._lock = Histogram(
            "jobledger_lock_wait_seconds",
            "How long an append waited for the nodes' append lock; PostgreSQL only.",
            buckets=SECONDS,
            registry=registry,
        )
        self._lag = Histogram(
            "jobledger_dispatch_lag_seconds",
            "From when a run was due to its claim, without catch-up runs.",
            buckets=LAG_SECONDS,
            registry=registry,
        )

    def batch_answered(self, batch: CommandBatch) -> None:
        self._batch.observe(batch.command_count)
        for seconds in batch.waited_seconds:
            self._latency.observe(seconds)

    def waited_for_append_lock(self, seconds: float) -> None:
        self._lock.observe(max(0.0, seconds))

    def claimed(self, lag_seconds: float) -> None:
        self._lag.observe(max(0.0, lag_seconds))


class Metrics:
    """Every metric of one server."""

    def __init__(self, histograms: Histograms, state: StateCollector) -> None:
        self._registry = histograms.registry
        self._registry.register(state)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """A scrape in the text format of Prometheus. Blocks: it reads the event store."""
        return generate_latest(self._registry)
