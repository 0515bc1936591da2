"""One clock for all nodes: the database's, whatever each machine's own shows."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
import pytest

from ledger import Ledger
from ledger.clock import SystemClock, from_microseconds
from ledger.store.postgres.clock import LOOK, MAX_DOUBT_SECONDS, OLD_SECONDS, DatabaseClock, off
from ledger.store.postgres.statements import DATABASE_CLOCK
from tests.contract.stores import PostgresStoreHarness, own_name
from tests.support.builders import a_spec

MINUTE = timedelta(minutes=1)


class Skewed(SystemClock):
    """This machine's clock, set wrongly."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


def database_now(connection: psycopg.Connection[tuple[int]]) -> datetime:
    [(at,)] = connection.execute(LOOK).fetchall()
    return from_microseconds(at)


@pytest.mark.parametrize("skew", [MINUTE, -MINUTE, timedelta()])
def test_a_node_follows_the_databases_clock_however_its_own_is_set(
    postgres_dsn: str, skew: timedelta
) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        clock = DatabaseClock(Skewed(skew), connection)

        before = database_now(connection)
        now = clock.now()
        after = database_now(connection)

    doubt = timedelta(seconds=clock.reading.doubt)
    assert before - doubt <= now <= after + doubt
    assert abs(clock.skew - (skew + (SystemClock().now() - after))) < MINUTE / 2


class Slow(SystemClock):
    """A clock by which every reading takes as long as a test says."""

    def __init__(self, step: float) -> None:
        self.seconds = 0.0
        self.step = step

    def elapsed(self) -> float:
        self.seconds += self.step
        return self.seconds


@pytest.mark.parametrize(
    ("age", "step", "is_taken"),
    [(0.0, MAX_DOUBT_SECONDS, False), (OLD_SECONDS, MAX_DOUBT_SECONDS, True)]
    + [(OLD_SECONDS, 30.0, False)],
    ids=["slow", "slow, but the other is old", "stalled for half a minute"],
)
def test_a_slow_reading_does_not_replace_an_accurate_one_until_that_is_old(
    postgres_dsn: str, age: float, step: float, is_taken: bool
) -> None:
    local = Slow(0.001)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        clock = DatabaseClock(local, connection)
        sure = clock.reading.doubt
        local.seconds += age
        local.step = step

        clock.read(connection)

    assert (clock.reading.doubt > sure) is is_taken


def test_nodes_that_disagree_by_two_minutes_write_one_sequence_of_times(postgres_dsn: str) -> None:
    harness = PostgresStoreHarness(postgres_dsn, own_name(), clock=DATABASE_CLOCK)
    nodes = []
    for skew in (MINUTE, -MINUTE):
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            clock = DatabaseClock(Skewed(skew), connection)
        nodes.append(Ledger.open(harness.address, clock=clock))
    for number in range(20):
        nodes[number % 2].schedule(a_spec(name=f"job {number}"))

    events = nodes[0].mapper.to_recorded_events(nodes[0].event_store.read(after=0, limit=100))

    for event in events:
        recorded = datetime.fromisoformat(str(event.data["timestamp"]))
        assert abs(from_microseconds(event.recorded_at) - recorded) < MINUTE / 2
    for node in nodes:
        node.close()
    harness.close()


def test_the_difference_of_a_clock_is_described_in_words() -> None:
    assert off(timedelta(seconds=61.26)) == "61.3 s ahead"
    assert off(-MINUTE) == "60.0 s behind"
