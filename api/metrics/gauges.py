"""What is looked up at each scrape: where jobs, runs, copies and streams stand, and what has been
appended since the start.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.bootstrap import ServerParts
from api.stream.tail import Tail
from ledger.application.due import due_item_of
from ledger.errors import Unavailable
from projections.models.jobs.queries import STATUSES
from projections.models.storms.queries import open_count

OVERDUE = timedelta(seconds=30)
OUTCOMES = ("succeeded", "failed", "lost", "blocked")
FAILED_DELIVERIES = ("job.delivery_failed", "notice.failed")


class StateCollector(Collector):
    """One server's present, as metrics. Costs a look at every job in memory, and the counting of
    what was appended since the last scrape.
    """

    def __init__(self, parts: ServerParts, tail: Tail) -> None:
        self._parts = parts
        self._tail = tail
        self._topics: Counter[str] = Counter()
        self._counted = parts.ledger.writer.position
        self._counting = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return ()  # asked at registration: nothing must be looked up for it

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._happened()
        yield from self._read_models()
        yield from self._storms()
        yield from self._streams()
        yield from self._nodes()

    def _jobs(self) -> Iterator[Metric]:
        job_cache, now = self._parts.ledger.job_cache, self._parts.ledger.clock.now()
        jobs = job_cache.snapshot()
        wakes = [wake for job in jobs if (wake := due_item_of(job)) is not None and wake.at <= now]
        # A requested run is due at once: since when is not told, so it is never overdue.
        late = [wake for wake in wakes if wake.cause != "request" and wake.at < now - OVERDUE]
        counts = Counter(job.status for job in jobs)
        yield _labelled(
            GaugeMetricFamily("jobledger_jobs", "Jobs by status.", labels=["status"]),
            {status: counts[status] for status in STATUSES},
        )
        yield _gauge("jobledger_due_jobs", "Jobs whose time has come.", len(wakes))
        yield _gauge("jobledger_overdue_jobs", "Jobs due for more than 30 s.", len(late))
        yield _gauge(
            "jobledger_open_runs", "Runs under way, on any node.", len(job_cache.open_runs())
        )
        yield _gauge(
            "jobledger_dispatcher_running",
            "1 while what is due is run, else 0.",
            int(self._is_dispatching()),
        )

    def _happened(self) -> Iterator[Metric]:
        topics, writer = self._count(), self._parts.ledger.writer
        ended = {outcome: topics[f"job.run_{outcome}"] for outcome in OUTCOMES}
        failed = sum(topics[topic] for topic in FAILED_DELIVERIES)
        yield _gauge("jobledger_book_position", "The last position.", writer.position)
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
        yield _counter(
            "jobledger_runs_lost", "Runs that nobody knows the end of.", topics["job.run_lost"]
        )
        yield _counter("jobledger_trips", "Breakers tripped.", topics["job.circuit_tripped"])
        yield _counter(
            "jobledger_deliveries_failed", "Deliveries and notices not delivered.", failed
        )

    def _read_models(self) -> Iterator[Metric]:
        end = self._parts.ledger.writer.position
        standings = self._parts.read_models.statuses()
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_copy_lag_events", "Events that a copy is behind.", labels=["copy"]
            ),
            {item.name: max(0, end - item.position) for item in standings},
        )
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_copy_stopped", "1 once a copy met its mistake, else 0.", labels=["copy"]
            ),
            {item.name: int(item.broken_at is not None) for item in standings},
        )

    def _storms(self) -> Iterator[Metric]:
        """Left out while the copies cannot be asked: the other numbers are wanted then."""
        try:
            with self._parts.read_models.reading() as reader:
                count = open_count(reader, now=self._parts.ledger.clock.now())
        except Unavailable:
            return
        yield _gauge("jobledger_open_storms", "Storms that are not over.", count)

    def _streams(self) -> Iterator[Metric]:
        tail = self._tail
        yield _gauge("jobledger_stream_clients", "Clients of the live stream.", len(tail.clients))
        yield _counter(
            "jobledger_stream_drops", "Clients dropped for being slow.", tail.dropped_count
        )

    def _nodes(self) -> Iterator[Metric]:
        pool, dispatcher = self._parts.ledger.event_store.pool_stats(), self._parts.dispatcher
        health = dispatcher.health() if dispatcher is not None else {}
        yield _labelled(
            GaugeMetricFamily(
                "jobledger_pool_connections",
                "Connections for reading, by state; PostgreSQL only.",
                labels=["state"],
            ),
            {"idle": pool.idle, "used": pool.connections - pool.idle},
        )
        yield _gauge(
            "jobledger_pool_waiting", "Questions that wait for a connection.", pool.waiting
        )
        yield _gauge(
            "jobledger_lease_age_seconds",
            "Since this node's lease was renewed; PostgreSQL only.",
            health.get("lease_age_seconds") or 0,
        )

    def _is_dispatching(self) -> bool:
        dispatcher = self._parts.dispatcher
        return dispatcher is not None and dispatcher.health()["state"] == "running"

    def _count(self) -> Counter[str]:
        """How often each topic was appended since the start; from the book, so it cannot miss."""
        with self._counting:
            end = self._parts.ledger.writer.position
            if end > self._counted:
                event_store = self._parts.ledger.event_store
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
