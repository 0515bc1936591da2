"""PostgreSQL in trouble (D5, D6): refused truthfully, no partial commit, and the store recovers by
itself.
"""

from __future__ import annotations

from signal import SIGINT, SIGQUIT

import pytest
from pytest import raises

from ledger.errors import StorageFull, Unavailable
from ledger.maintenance.verify import verify_event_store
from ledger.store.event_store import AppendUnknown
from ledger.store.records import Committed
from tests.contract.stores import PostgresStoreHarness, append, append_decided, batch_of, own_name
from tests.support.builders import a_job
from tests.support.servers.postgres_server import TestServer


def break_inserts(harness: PostgresStoreHarness, what: str, *, at_commit: bool = False) -> None:
    """Have the database itself do `what` when events are inserted, or when that is committed."""
    harness.execute_directly(
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {what}; RETURN NEW; END $$"
    )
    kind = "CONSTRAINT TRIGGER trouble AFTER" if at_commit else "TRIGGER trouble BEFORE"
    when = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
    harness.execute_directly(
        f"CREATE {kind} INSERT ON events {when} FOR EACH ROW EXECUTE FUNCTION trouble()"
    )


def mend_inserts(harness: PostgresStoreHarness) -> None:
    harness.execute_directly("DROP TRIGGER trouble ON events")


RAISE = "RAISE EXCEPTION 'trouble' USING ERRCODE = '{}'"
DIE = "PERFORM pg_terminate_backend(pg_backend_pid())"


@pytest.mark.parametrize("at_commit", [False, True], ids=["insert", "commit"])
@pytest.mark.parametrize(
    ("what", "error"),
    [
        (RAISE.format("disk_full"), StorageFull),
        (RAISE.format("lock_not_available"), Unavailable),
        (RAISE.format("unique_violation"), AppendUnknown),
        (DIE, (Unavailable, AppendUnknown)),
    ],
    ids=["disk full", "lock", "integrity", "death"],
)
def test_a_failure_is_reported_as_what_it_is_and_the_next_append_works(
    postgres_harness: PostgresStoreHarness, what: str, error: type[Exception], at_commit: bool
) -> None:
    append_decided(postgres_harness, a_job(number=1))
    batch = batch_of(postgres_harness, a_job(number=2))
    break_inserts(postgres_harness, what, at_commit=at_commit)

    with raises(error):
        append(postgres_harness, batch)

    mend_inserts(postgres_harness)
    assert postgres_harness.event_store.command_at(batch.events[0].stream, 1) is None
    assert append(postgres_harness, batch) == [Committed((2,))]
    assert verify_event_store(postgres_harness.event_store).is_sound


def test_death_at_the_commit_is_unknown_with_the_outcomes_it_would_have_had(
    postgres_harness: PostgresStoreHarness,
) -> None:
    batch = batch_of(postgres_harness, a_job())
    break_inserts(postgres_harness, DIE, at_commit=True)

    with raises(AppendUnknown) as unknown:
        append(postgres_harness, batch)

    assert unknown.value.outcomes == [Committed((1,))]


def test_a_connection_that_died_while_idle_costs_no_append(
    postgres_harness: PostgresStoreHarness,
) -> None:
    batch = batch_of(postgres_harness, a_job())
    ours = "pid <> pg_backend_pid() AND application_name = 'jobledger'"
    gone = postgres_harness.execute_directly(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}"
    )

    outcomes = append(postgres_harness, batch)

    assert (len(gone) >= 1, outcomes) == (True, [Committed((1,))])
    assert postgres_harness.event_store.tail_position() == 1


@pytest.mark.slow
@pytest.mark.parametrize("signal", [SIGINT, SIGQUIT], ids=["stopped", "crashed"])
def test_a_store_recovers_by_itself_when_its_server_is_back(
    own_server: TestServer, signal: int
) -> None:
    harness = PostgresStoreHarness(own_server.tcp_dsn, own_name())
    append_decided(harness, a_job(number=1))
    batch = batch_of(harness, a_job(number=2))

    own_server.stop(signal)
    with raises(Unavailable):
        append(harness, batch)
    with raises(Unavailable):
        harness.event_store.tail_position()
    own_server.start()

    assert append(harness, batch) == [Committed((2,))]
    assert [item.id for item in harness.event_store.read(after=0, limit=9)] == [1, 2]
    assert verify_event_store(harness.event_store).is_sound
    harness.abandon()
