"""Several nodes on one event store: one order, no gap, one winner, one clock. PostgreSQL only: on
SQLite a store has one owner.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import psycopg
import pytest
from pytest import raises

from ledger.domain.job.job import Job
from ledger.errors import Unavailable
from ledger.maintenance.verify import verify_event_store
from ledger.store.event_reader import EventReader
from ledger.store.postgres.migrations import ROLE
from ledger.store.postgres.statements import DATABASE_CLOCK
from ledger.store.postgres.store import PostgresEventStore
from ledger.store.records import (
    AppendOutcome,
    Checkpoint,
    Committed,
    EventBatch,
    LeaseRow,
    SideTableRow,
    VersionConflict,
)
from tests.contract.stores import NOW, PostgresStoreHarness, append, append_decided, batch_of
from tests.support.builders import NOON, a_context, a_job, an_id, clone

NODES = 2
ROUNDS = 60
SECOND = 1_000_000

Act = Callable[[PostgresEventStore, int], Any]


@pytest.fixture
def nodes(postgres_harness: PostgresStoreHarness) -> Iterator[list[PostgresEventStore]]:
    with ExitStack() as closing:
        event_stores = [postgres_harness.another_event_store() for _ in range(NODES)]
        for event_store in event_stores:
            closing.callback(event_store.close)
        yield event_stores


def at_once(nodes: list[PostgresEventStore], act: Act) -> list[Any]:
    """The results of all nodes' actions, started together."""
    gate = Barrier(len(nodes))

    def begin(number: int) -> Any:
        gate.wait()
        return act(nodes[number], number)

    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(begin, range(len(nodes))))


def described(job: Job, *tags: str) -> Job:
    for tag in tags:
        job.amend({"tags": [tag]}, a_context(NOON, reason="because"))
    return job


def test_nodes_that_write_different_streams_share_one_gapless_sound_order(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    def lot(number: int) -> list[EventBatch]:
        jobs = [described(a_job(number=number + step), "a") for step in range(1, 5)]
        return [batch_of(postgres_harness, job) for job in jobs]

    lots = [[lot(1000 * node + 4 * turn) for turn in range(ROUNDS)] for node in range(NODES)]

    def write(event_store: PostgresEventStore, node: int) -> list[AppendOutcome]:
        mapper, now = postgres_harness.mapper, NOW + node
        return [one for lot in lots[node] for one in event_store.append(lot, mapper, now=now)]

    outcomes = [one for written in at_once(nodes, write) for one in written]

    places = [place for one in outcomes if isinstance(one, Committed) for place in one.positions]
    verdict = verify_event_store(postgres_harness.event_store)
    assert sorted(places) == list(range(1, 2 * NODES * 4 * ROUNDS + 1))
    assert (verdict.finding, verdict.verified) == (None, len(places))


def test_nodes_that_write_the_same_stream_have_one_winner_for_each_version(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    append_decided(postgres_harness, a_job())

    def compete(event_store: PostgresEventStore, node: int) -> Counter[str]:
        ended: Counter[str] = Counter()
        while ended["Committed"] < ROUNDS:
            mine = EventReader(event_store, postgres_harness.mapper).fold(Job.blank(an_id(1)))
            batch = batch_of(postgres_harness, described(mine, f"{node} {mine.version}"))
            [outcome] = event_store.append([batch], postgres_harness.mapper, now=NOW)
            ended[type(outcome).__name__] += 1
        return ended

    counts = at_once(nodes, compete)

    history = postgres_harness.event_store.stream(an_id(1), after=0, upto=None, limit=9999)
    assert [item.originator_version for item in history] == list(range(1, NODES * ROUNDS + 2))
    assert sum(ended["Committed"] for ended in counts) == len(history) - 1
    assert verify_event_store(postgres_harness.event_store).is_sound


def test_of_two_appends_of_one_version_one_is_committed_without_affecting_the_rest(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    append_decided(postgres_harness, a_job())
    reader = EventReader(postgres_harness.event_store, postgres_harness.mapper)
    base = reader.fold(Job.blank(an_id(1)))
    lots = [
        [
            batch_of(postgres_harness, described(clone(base), f"{node}")),
            batch_of(postgres_harness, a_job(number=100 + node)),
        ]
        for node in range(NODES)
    ]

    ended = at_once(
        nodes,
        lambda event_store, node: event_store.append(lots[node], postgres_harness.mapper, now=NOW),
    )

    assert sorted(type(first).__name__ for first, _ in ended) == ["Committed", "VersionConflict"]
    assert all(isinstance(second, Committed) for _, second in ended)
    [lost] = [first for first, _ in ended if isinstance(first, VersionConflict)]
    assert lost == VersionConflict(an_id(1), expected=1, actual=2)


def test_a_reader_that_follows_the_end_never_sees_a_position_appear_behind_it(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    batches = {
        node: [batch_of(postgres_harness, a_job(number=1000 * node + n)) for n in range(1, 101)]
        for node in range(NODES)
    }
    seen: list[int] = []

    def write(event_store: PostgresEventStore, node: int) -> None:
        for batch in batches[node]:
            event_store.append([batch], postgres_harness.mapper, now=NOW)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(at_once, nodes, write)
        while not writing.done() or len(seen) < postgres_harness.event_store.tail_position():
            page = postgres_harness.event_store.read(after=seen[-1] if seen else 0, limit=500)
            seen += [item.id for item in page]

    assert seen == list(range(1, 100 * NODES + 1))


# -- time ---------------------------------------------------------------------------------------


def test_every_node_records_by_the_databases_clock(postgres_dsn: str) -> None:
    harness = PostgresStoreHarness(postgres_dsn, "shelf_of_the_clock", clock=DATABASE_CLOCK)
    try:
        [(before,)] = harness.execute_directly(f"SELECT {DATABASE_CLOCK}")
        for number, skew in enumerate((-60, 60, 0), 1):
            append(harness, batch_of(harness, a_job(number=number)), now=before + skew * SECOND)
        [(after,)] = harness.execute_directly(f"SELECT {DATABASE_CLOCK}")

        times = [item.recorded_at for item in harness.event_store.read(after=0, limit=9)]
    finally:
        harness.close()

    assert before <= times[0] <= times[1] <= times[2] <= after


# -- a node that hangs, a node that is refused------------------------------------------------------


def test_a_silent_node_loses_the_append_lock(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    stuck = nodes[0]._connected()
    stuck.execute("SET idle_in_transaction_session_timeout = '200ms'")
    stuck.execute("BEGIN")
    stuck.execute("LOCK TABLE append_lock IN EXCLUSIVE MODE")

    batch = batch_of(postgres_harness, a_job())
    [outcome] = nodes[1].append([batch], postgres_harness.mapper, now=NOW)

    assert outcome == Committed((1,))
    with raises(psycopg.errors.IdleInTransactionSessionTimeout):
        stuck.execute("COMMIT")


def test_an_append_that_never_gets_the_lock_is_refused_and_commits_nothing(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    nodes[1]._connected().execute("SET lock_timeout = '100ms'")
    batch = batch_of(postgres_harness, a_job())
    postgres_harness.execute_directly("BEGIN")
    postgres_harness.execute_directly("LOCK TABLE append_lock IN EXCLUSIVE MODE")

    with raises(Unavailable, match="nothing was committed"):
        nodes[1].append([batch], postgres_harness.mapper, now=NOW)

    postgres_harness.execute_directly("ROLLBACK")
    assert nodes[1].append([batch], postgres_harness.mapper, now=NOW) == [Committed((1,))]


# -- beside the events --------------------------------------------------------------------------


def test_leases_and_checkpoints_are_the_same_on_every_node(
    postgres_harness: PostgresStoreHarness, nodes: list[PostgresEventStore]
) -> None:
    lease = LeaseRow("r-1", an_id(1), 17)
    gone = LeaseRow("r-1", an_id(1), None)

    def append_beside(number: int, *beside: SideTableRow) -> None:
        batch = batch_of(postgres_harness, a_job(number=number), beside=beside)
        append(postgres_harness, batch)

    append_beside(1, lease, Checkpoint("notifier", 5))
    seen = (nodes[1].leases().rows, nodes[1].checkpoint("notifier"), nodes[1].checkpoint("other"))
    append_beside(2, gone, Checkpoint("notifier", 6))

    assert seen == ((lease,), 5, None)
    assert (nodes[0].leases().rows, nodes[0].checkpoint("notifier")) == ((), 6)


def test_a_slower_node_neither_overwrites_a_newer_snapshot_nor_restores_a_dropped_one(
    nodes: list[PostgresEventStore],
) -> None:
    one, gone = an_id(1), an_id(2)
    nodes[0].save_snapshots([(one, 7, b"newer"), (gone, 4, None)], position=20)

    nodes[1].save_snapshots([(one, 5, b"older"), (gone, 3, b"alive")], position=15)

    assert list(nodes[1].load_snapshots()) == [(one, 7, b"newer")]
    assert nodes[1].snapshots_position() == 20


# -- the application's role ----------------------------------------------------------------------


@pytest.fixture
def application(postgres_harness: PostgresStoreHarness) -> Iterator[psycopg.Connection[Any]]:
    """A session with the rights of the application's role."""
    with psycopg.connect(postgres_harness.address.dsn, autocommit=True) as connection:
        connection.execute(f"SET ROLE {ROLE}".encode())
        connection.execute(f"SET search_path = {postgres_harness.address.schema}".encode())
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET topic = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM texts",
        "UPDATE texts SET body = ''",
        "TRUNCATE append_lock",
        "DROP TABLE events",
        "ALTER TABLE events DISABLE TRIGGER USER",
        "CREATE TABLE mine (a int)",
        "SET session_replication_role = replica",
    ],
)
def test_the_applications_role_may_not_change_or_delete_events(
    application: psycopg.Connection[Any], statement: str
) -> None:
    with raises(psycopg.errors.InsufficientPrivilege):
        application.execute(statement.encode())


def test_the_store_works_with_the_applications_role_alone(
    postgres_harness: PostgresStoreHarness, caplog: pytest.LogCaptureFixture
) -> None:
    user = postgres_harness.address.schema
    postgres_harness.execute_directly(f"CREATE ROLE {user} LOGIN IN ROLE {ROLE}")
    dsn = psycopg.conninfo.make_conninfo(postgres_harness.address.dsn, user=user)
    try:
        postgres_harness.event_store.close()
        caplog.clear()
        postgres_harness.event_store = event_store = PostgresEventStore(
            type(postgres_harness.address)(dsn, user)
        )
        batch = batch_of(
            postgres_harness, a_job(description="words"), beside=[LeaseRow("r", an_id(1), 1)]
        )
        [outcome] = event_store.append([batch], postgres_harness.mapper, now=NOW)
        event_store.save_snapshots([(an_id(1), 1, b"state")], position=1)
        found = event_store.command_at(an_id(1), 1)
    finally:
        postgres_harness.event_store.close()
        postgres_harness.execute_directly(f"DROP ROLE {user}")

    assert (outcome, found is not None, caplog.records) == (Committed((1,)), True, [])


def test_a_role_that_may_change_events_is_named_in_the_log(
    postgres_harness: PostgresStoreHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ledger.store.postgres.store")
    caplog.clear()

    postgres_harness.reopen()

    assert [record.getMessage() for record in caplog.records] == [
        "this role may change events, and only triggers prevent it: "
        "run as a member of jobledger_app"
    ]
