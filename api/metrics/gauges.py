"""Metrics that are read at each scrape: the state of jobs, runs, read models and streams, and what
was appended since the server started.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.stream.tail import Tail
from ledger.application.due_queue import due_item_of
from ledger.application.ledger import Ledger
from ledger.dispatch.dispatcher import Dispatcher
from ledger.errors import Unavailable
from projections.models.jobs.queries import STATUSES
from projections.models.storms.queries import open_count
from projections.read_models import ReadModels

OVERDUE = timedelta(seconds=30)
OUTCOMES = ("succeeded", "failed", "lost", "blocked")
FAILED_DELIVERIES = ("job.delivery_failed", "notice.failed")


class StateCollector(Collector):
    """The state of one server as metrics. A scrape visits every job in memory and counts the events
    appended since the last one.
    """

    def __init__(
        self, ledger: Ledger, read_models: ReadModels, dispatcher: Dispatcher | None, tail: Tail
    ) -> None:
        self._ledger = ledger
        self._read_models = read_models
        self._dispatcher = dispatcher
        self._tail = tail
        self._topics: Counter[str] = Counter()
        self._counted = ledger.writer.position
        self._counting = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect everything at registration

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._events()
        yield from self._lag()
        yield from self._storms()
        yield from self._streams()
        yield from self._nodes()

    def _jobs(self) -> Iterator[Metric]:
        job_cache, now = self._ledger.job_cache, self._ledger.clock.now()
        jobs = job_cache.snapshot()
        due = [item for job in jobs if (item := due_item_of(job)) is not None and item.at <= now]
        # A requested run is due at once and does not say since when, so it is never overdue.
        late = [item for item in due if item.cause != "request" and item.at < now - OVERDUE]
        counts = Counter(job.status for job in jobs)
        yield _labelled(
            GaugeMetricFamily("jobledger_jobs", "Jobs by status.", labels=["status"]),
            {status: counts[status] for status in STATUSES},
        )
        yield _gauge("jobledger_due_jobs", "Jobs that are due.", len(due))
        yield _gauge("jobledger_overdue_jobs", "Jobs due for more than 30 s.", len(late))
        yield _gauge(
            "jobledger_open_runs", "Open runs, on any node.", len(job_cache.runs.open_runs())
        )
        yield _gauge(
            "jobledger_dispatcher_running",
            "1 while this server dispatches due jobs, else 0.",
            int(self._is_dispatching()),
        )

    def _events(self) -> Iterator[Metric]:
        topics, writer = self._count(), self._ledger.writer
        ended = {outcome: topics[f"job.run_{outcome}"] for outcome in OUTCOMES}
        failed = sum(topics[topic] for topic in FAILED_DELIVERIES)
        yield _gauge(
            "jobledger_event_store_position", "Position of the last event.", writer.position
        )
        yield _gauge("jobledger_waiting_commands", "Calls in the queue.", writer.waiting_count)
        yield _counter(
            "jobledger_runs_started", "Runs started since the start.", topics["job.run_started"]
        )
        yield _labelled(
            CounterMetricFamily(
                "jobledger_runs_ended", "Runs ended since the start.", labels=["outcome"]
            ),
            ended,
        )
        yield _counter("jobledger_runs_lost", "Runs recorded as lost.", topics["job.run_lost"])
        yield _counter("jobledger_trips", "Breakers tripped.", topics["job.circuit_tripped"])
        yield _counter("jobledger_deliveries_failed", "Deliveries and notices that failed.", failed)

    def _lag(self) -> Iterator[Metric]:
        end = self._ledger.writer.position
        standings = self._read_models.statuses()
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_read_model_lag_events",
                "Events that a read model has not applied yet.",
                labels=["read_model"],
            ),
            {item.name: max(0, end - item.position) for item in standings},
        )
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_read_model_stopped",
                "1 once a read model stopped at an event it cannot apply, else 0.",
                labels=["read_model"],
            ),
            {item.name: int(item.broken_at is not None) for item in standings},
        )

    def _storms(self) -> Iterator[Metric]:
        """Left out while the read models do not answer, so that a scrape has the other metrics."""
        try:
            with self._read_models.reading() as reader:
                count = open_count(reader, now=self._ledger.clock.now())
        except Unavailable:
            return
        yield _gauge("jobledger_open_storms", "Open storms.", count)

    def _streams(self) -> Iterator[Metric]:
        tail = self._tail
        yield _gauge("jobledger_stream_clients", "Clients of the live stream.", len(tail.clients))
        yield _counter(
            "jobledger_stream_drops", "Clients dropped for being slow.", tail.dropped_count
        )

    def _nodes(self) -> Iterator[Metric]:
        pool = self._ledger.event_store.pool_stats()
        health = self._dispatcher.health() if self._dispatcher is not None else {}
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_pool_connections",
                "Connections for reading, by state; PostgreSQL only.",
                labels=["state"],
            ),
            {"idle": pool.idle, "used": pool.connections - pool.idle},
        )
        yield _gauge("jobledger_pool_waiting", "Queries that wait for a connection.", pool.waiting)
        yield _gauge(
            "jobledger_lease_age_seconds",
            "Since this node's lease was renewed; PostgreSQL only.",
            health.get("lease_age_seconds") or 0,
        )

    def _is_dispatching(self) -> bool:
        return self._dispatcher is not None and self._dispatcher.health()["state"] == "running"

    def _count(self) -> Counter[str]:
        """How often each topic was appended since the start, by any node."""
        with self._counting:
            end = self._ledger.writer.position
            if end > self._counted:
                event_store = self._ledger.event_store
                self._topics.update(event_store.topic_counts(after=self._counted, upto=end))
                self._counted = end
            return Counter(self._topics)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(name, meaning, value=value)


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: dict[str, int]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
