"""The store in trouble (D5, D6): no failure is answered as a success."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger import Ledger
from ledger.errors import LedgerError, StorageFull
from ledger.maintenance.verify import verify_event_store
from ledger.store.sqlite.store import SQLiteEventStore
from tests.simulation import invariants as laws
from tests.support.builders import ManualClock, a_spec, open_ledger

CALLS = 12
"""More database calls than any command makes."""
Give = Callable[[Ledger, UUID], Any]
COMMANDS: dict[str, tuple[str, Give]] = {
    "schedule": ("active", lambda ledger, job_id: ledger.schedule(a_spec(name=f"new {job_id}"))),
    "amend": ("active", lambda ledger, job_id: ledger.amend(job_id, {"description": "words"})),
    "rename": ("active", lambda ledger, job_id: ledger.amend(job_id, {"name": f"new {job_id}"})),
    "pause": ("active", lambda ledger, job_id: ledger.pause(job_id, reason="why not")),
    "resume": ("paused", lambda ledger, job_id: ledger.resume(job_id, reason="why not")),
    "run": ("active", lambda ledger, job_id: ledger.run(job_id)),
    "delete": ("active", lambda ledger, job_id: ledger.delete(job_id)),
}


class FailingConnection:
    """A connection whose Nth call fails, before it did its work or after; optionally all later ones
    too.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.calls = 0
        self.fails_at = 0
        self.fails_after = False
        self.goes_on = False

    def arm(self, number: int, *, after: bool, goes_on: bool) -> None:
        """Fail at the call of that number from now."""
        self.fails_at, self.fails_after, self.goes_on = self.calls + number, after, goes_on

    def heal(self) -> None:
        self.fails_at = 0

    def execute(self, *given: Any) -> Any:
        return self._do(self._connection.execute, given)

    def executemany(self, *given: Any) -> Any:
        return self._do(self._connection.executemany, given)

    def _do(self, call: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        self.calls += 1
        is_due = self.fails_at > 0 and (
            self.calls == self.fails_at or (self.goes_on and self.calls > self.fails_at)
        )
        if not is_due:
            return call(*given)
        if self.fails_after:
            call(*given)
        raise sqlite3.OperationalError("disk I/O error")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def failing(ledger: Ledger) -> FailingConnection:
    """Replace the writer's connection by a failing one."""
    event_store = ledger.event_store
    assert isinstance(event_store, SQLiteEventStore)
    connection = FailingConnection(event_store._writer)
    event_store._writer = connection  # type: ignore[assignment]
    return connection


@pytest.mark.parametrize("goes_on", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_failure_at_any_database_call_is_answered_truthfully(
    tmp_path: Path, command: str, after: bool, goes_on: bool
) -> None:
    status, give = COMMANDS[command]
    with open_ledger(tmp_path) as ledger:
        connection = failing(ledger)
        for number in range(1, CALLS + 1):
            job_id = ledger.schedule(a_spec(name=f"job {number}")).job_id
            if status == "paused":
                ledger.pause(job_id)
            before = ledger.event_store.tail_position()
            connection.arm(number, after=after, goes_on=goes_on)

            answer = attempt(give, ledger, job_id)

            connection.heal()
            kept = ledger.event_store.tail_position() > before
            assert kept or isinstance(answer, LedgerError), f"call {number}: promised, not kept"
            assert_goes_on(ledger, number)


def attempt(give: Give, ledger: Ledger, job_id: UUID) -> Any:
    """The answer, or the error."""
    try:
        return give(ledger, job_id)
    except LedgerError as error:
        return error


def assert_goes_on(ledger: Ledger, number: int) -> None:
    """The ledger is intact, and works."""
    assert verify_event_store(ledger.event_store).is_sound
    assert ledger.schedule(a_spec(name=f"after {number}")).changed
    laws.check_event_store(ledger)
    for events in laws.histories(ledger).values():
        assert [event["topic"] for event in events].count("job.scheduled") == 1


# -- no room ------------------------------------------------------------------------------------


def limit_pages(ledger: Ledger, more: int) -> None:
    """Let the store's file grow by so many pages and no further, as a full disk would."""
    event_store = ledger.event_store
    assert isinstance(event_store, SQLiteEventStore)
    count = event_store._writer.execute("PRAGMA page_count").fetchone()[0]
    event_store._writer.execute(f"PRAGMA max_page_count={count + more}")


def fill(ledger: Ledger, answered: list[UUID]) -> None:
    """Schedule large jobs without end."""
    while True:
        spec = a_spec(name=f"{len(answered)}", task="x" * 9000)
        answered.append(ledger.schedule(spec).job_id)


@pytest.mark.parametrize("room", [0, 1, 2, 5, 9, 17, 33, 60])
def test_a_full_disk_is_reported_and_answered_commands_stay(tmp_path: Path, room: int) -> None:
    with open_ledger(tmp_path) as ledger:
        limit_pages(ledger, room)
        answered: list[UUID] = []

        with raises(StorageFull, match="nothing was committed"):
            fill(ledger, answered)

        names = [job["name"] for job in map(ledger.job, answered)]
        assert names == [f"{number}" for number in range(len(answered))]
        assert ledger.event_store.tail_position() == 2 * len(answered)
        laws.check_event_store(ledger)


def test_a_full_disk_refuses_only_commands_that_append_until_there_is_room_again(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        limit_pages(ledger, 0)
        with raises(StorageFull):
            ledger.amend(job_id, {"task": "x" * 30_000})
        assert ledger.resume(job_id).changed is False
        assert ledger.job(job_id)["task"] == "write the report"

        limit_pages(ledger, 1000)

        assert ledger.amend(job_id, {"task": "x" * 30_000}).changed
        laws.check_event_store(ledger)


def test_a_ledger_closes_and_opens_without_room_for_its_snapshots(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ids = [ledger.schedule(a_spec(name=f"{n}")).job_id for n in range(50)]
    limit_pages(ledger, 0)

    ledger.close()

    with open_ledger(tmp_path, seed=1) as ledger:
        assert {job.id for job in ledger.job_cache.snapshot()} == set(ids)
        laws.check_event_store(ledger)


# -- snapshots ----------------------------------------------------------------------------------


def test_a_ledger_killed_between_chunks_of_snapshots_opens_again(tmp_path: Path) -> None:
    """Deleted jobs' snapshots are dropped with a chunk, before the saved position passes their
    events.
    """
    with open_ledger(tmp_path) as ledger:
        ids = [ledger.schedule(a_spec(name=f"{n}")).job_id for n in range(3)]
    ledger = open_ledger(tmp_path, seed=1)
    ledger.delete(ids[0])
    ledger.amend(ids[1], {"tags": ["x"]})
    ledger.event_store.save_snapshots([(ids[0], 2, None)], position=None)
    abandon(ledger)

    with open_ledger(tmp_path, seed=2) as ledger:
        assert {job.id for job in ledger.job_cache.snapshot()} == set(ids[1:])
        laws.check_event_store(ledger)


def test_a_ledger_killed_before_any_snapshot_opens_again(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = open_ledger(tmp_path, clock)
    ids = [ledger.schedule(a_spec(name=f"{n}")).job_id for n in range(3)]
    ledger.pause(ids[0])
    abandon(ledger)
    clock.advance(timedelta(days=1))

    with open_ledger(tmp_path, clock, seed=2) as ledger:
        assert [job.status for job in map(ledger.fold, ids)] == ["paused", "active", "active"]
        laws.check_event_store(ledger)


def abandon(ledger: Ledger) -> None:
    """Leave a ledger as a killed process would: no snapshot is saved, the lock is free."""
    ledger.event_store.close()
    assert ledger.lock is not None
    ledger.lock.release()
