"""What is measured while it happens: how long commands wait, how large batches are, how late runs
start.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Measures:
    """Watches the writer and the dispatcher; its histograms lie in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latency = Histogram(
            "jobledger_command_latency_seconds",
            "From handing commands in to their durable answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "jobledger_batch_size_commands",
            "Commands decided and kept in one transaction.",
            buckets=SIZES,
            registry=registry,
        )
        self._lag = Histogram(
            "jobledger_dispatch_lag_seconds",
            "From when a run was due to its claim; runs made up for late are left out.",
            buckets=LAG_SECONDS,
            registry=registry,
        )

    def took_batch(self, command_count: int, waited_seconds: Sequence[float]) -> None:
        """Called by the writer."""
        self._batch.observe(command_count)
        for seconds in waited_seconds:
            self._latency.observe(seconds)

    def claimed(self, lag_seconds: float) -> None:
        """Called by the dispatcher."""
        self._lag.observe(max(0.0, lag_seconds))
