"""What is measured while it happens: how long commands wait, and appends for their turn, how large
batches are, how late runs start.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from ledger.store.instrumentation import CommandBatch, NoInstrumentation

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Histograms(NoInstrumentation):
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
        self._turn = Histogram(
            "jobledger_lock_wait_seconds",
            "How long an append waited for its turn among the nodes; PostgreSQL only.",
            buckets=SECONDS,
            registry=registry,
        )
        self._lag = Histogram(
            "jobledger_dispatch_lag_seconds",
            "From when a run was due to its claim; runs made up for late are left out.",
            buckets=LAG_SECONDS,
            registry=registry,
        )

    def took_batch(self, batch: CommandBatch) -> None:
        """Called by the writer."""
        self._batch.observe(batch.command_count)
        for seconds in batch.waited_seconds:
            self._latency.observe(seconds)

    def waited_for_turn(self, seconds: float) -> None:
        """Called by a book that several nodes append to."""
        self._turn.observe(max(0.0, seconds))

    def claimed(self, lag_seconds: float) -> None:
        """Called by the dispatcher."""
        self._lag.observe(max(0.0, lag_seconds))
