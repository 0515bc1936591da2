"""Leader locks among nodes: one holds, the others stand by, and a silent holder loses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from api.demo.waiting import wait_for
from ledger.store.cluster import AlwaysLeader
from ledger.store.postgres.leader_lock import PostgresLeaderLock
from tests.contract.stores import PostgresStoreHarness

PATIENCE_SECONDS = 60.0


@pytest.fixture
def leader_locks(postgres_harness: PostgresStoreHarness) -> Iterator[list[PostgresLeaderLock]]:
    with ExitStack() as closing:
        event_stores = [postgres_harness.another_event_store() for _ in range(2)]
        found = [PostgresLeaderLock(event_store.server, "notifier") for event_store in event_stores]
        for leader_lock, event_store in zip(found, event_stores, strict=True):
            closing.callback(event_store.close)
            closing.callback(leader_lock.close)
        yield found


def test_one_node_holds_a_leader_lock_until_it_releases_it(
    leader_locks: list[PostgresLeaderLock],
) -> None:
    one, other = leader_locks

    assert [one.is_held(), other.is_held(), one.is_held()] == [True, False, True]
    one.close()

    assert other.is_held()
    assert not one.is_held()


def test_leader_locks_of_other_names_and_ledgers_are_independent(
    leader_locks: list[PostgresLeaderLock], postgres_harness: PostgresStoreHarness
) -> None:
    held = [leader_locks[0].is_held()]
    event_store = postgres_harness.another_event_store()
    another = PostgresLeaderLock(event_store.server, "projections")

    held.append(another.is_held())

    assert held == [True, True]
    another.close()
    event_store.close()


def test_a_silent_node_loses_its_leader_lock_and_notices_it_once(
    leader_locks: list[PostgresLeaderLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.postgres.leader_lock.SILENT_SECONDS", 1)
    silent, other = leader_locks
    assert silent.is_held()
    monkeypatch.setattr("ledger.store.postgres.leader_lock.SILENT_SECONDS", 600)

    wait_for("The other node's turn", other.is_held, seconds=PATIENCE_SECONDS)

    assert not silent.is_held()
    other.close()
    assert silent.is_held()


def test_a_node_that_lost_its_leader_lock_briefly_notices_it_even_if_no_other_took_it(
    leader_locks: list[PostgresLeaderLock], postgres_harness: PostgresStoreHarness
) -> None:
    leader_lock, _ = leader_locks
    assert leader_lock.is_held()
    assert leader_lock.connection is not None
    pid = leader_lock.connection.info.backend_pid

    postgres_harness.execute_directly("SELECT pg_terminate_backend(?)", [pid])
    wait_for("The end of the session", lambda: not leader_lock.is_held(), seconds=PATIENCE_SECONDS)

    assert leader_lock.is_held()


def test_the_only_node_holds_every_leader_lock() -> None:
    assert AlwaysLeader().is_held()
