"""What an event store on PostgreSQL reports to metrics: how long an append waits for the lock, and
how its connections are used.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg

from api.demo.waiting import wait_for
from ledger.store.instrumentation import NoInstrumentation
from ledger.store.postgres.statements import CALLERS_CLOCK
from ledger.store.postgres.store import PostgresEventStore
from ledger.store.records import PoolStats
from tests.contract.stores import PostgresStoreHarness, append_decided
from tests.support.builders import a_job

LIMIT_SECONDS = 60.0
"""A hang fails by this; nothing is measured by it."""
_SINCE = "SELECT extract(epoch FROM clock_timestamp())::float8"
_WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
    "(SELECT oid FROM pg_class WHERE relname = 'append_lock' AND relnamespace = ?::regnamespace)"
)


class RecordedWaits(NoInstrumentation):
    """The waits that were reported."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def waited_for_append_lock(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_an_append_reports_how_long_it_waited_for_the_append_lock(
    postgres_harness: PostgresStoreHarness,
) -> None:
    harness, recorded = postgres_harness, RecordedWaits()
    harness.event_store.close()
    harness.event_store = PostgresEventStore(
        harness.address, clock=CALLERS_CLOCK, instrumentation=recorded
    )

    def is_waiting() -> bool:
        [(count,)] = harness.execute_directly(_WAITING, [harness.address.schema])
        return bool(count)

    with psycopg.connect(harness.address.dsn) as other, ThreadPoolExecutor(1) as writer:
        other.execute(f"LOCK TABLE {harness.address.schema}.append_lock IN EXCLUSIVE MODE".encode())
        kept = writer.submit(append_decided, harness, a_job(number=1))
        wait_for("The wait", is_waiting, seconds=LIMIT_SECONDS)
        [(seen_at,)] = harness.execute_directly(_SINCE)
        [(let_go_at,)] = harness.execute_directly(_SINCE)
        other.rollback()
        kept.result(LIMIT_SECONDS)
    append_decided(harness, a_job(number=2))

    waited, not_waited = recorded.seconds
    assert waited >= let_go_at - seen_at > 0
    assert 0 <= not_waited < waited


def test_the_pool_reports_its_use(postgres_harness: PostgresStoreHarness) -> None:
    event_store = postgres_harness.another_event_store()
    event_store.tail()

    with event_store.server.reading():
        used = event_store.pool_stats()
    event_store.close()

    assert used.connections > used.idle
    assert used.waiting == 0
    assert event_store.pool_stats() == PoolStats()
