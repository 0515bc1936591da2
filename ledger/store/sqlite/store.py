"""The event store on SQLite: one owner, one writer, WAL, fsync on every commit, and triggers that
forbid changes to events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Any
from uuid import UUID

from ledger.errors import StorageFull, Unavailable
from ledger.store.append import VersionCheck, accepted_of, outcomes_of, rows_of
from ledger.store.cluster import AlwaysLeader, LeaderLock
from ledger.store.event_store import AppendUnknown
from ledger.store.hash_chain import genesis
from ledger.store.mapper import EventMapper
from ledger.store.records import (
    AppendOutcome,
    Checkpoint,
    EventBatch,
    LeaseRow,
    PoolStats,
    SideTableRow,
    Tail,
    TokenRow,
)
from ledger.store.sql_reads import CHECKPOINT, COLUMNS, SNAPSHOTS_POSITION, TAIL
from ledger.store.sqlite.connections import SQLiteFile
from ledger.store.sqlite.folder import Folder
from ledger.store.sqlite.reads import SQLiteReads
from ledger.store.sqlite.schema import identify, prepare

_VERSION = "SELECT COALESCE(MAX(version), 0) FROM events WHERE stream = ?"
_INSERT_EVENT = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * 12)})"
_INSERT_TEXT = "INSERT INTO texts (id, salt, body) VALUES (?, ?, ?)"
_PUT_ACCESS = (
    "INSERT INTO tokens (id, name, role, kind, digest, expires_at, revoked_at) VALUES (?, ?, ?, "
    "?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at"
)
_PUT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots (job, version, state) VALUES (?, ?, ?)"
_PUT_LEASE = "INSERT OR REPLACE INTO leases (run_id, job, expires_at) VALUES (?, ?, ?)"
_DROP_LEASE = "DELETE FROM leases WHERE run_id = ?"
_PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
REHEARSAL = "rehearsal"
"""The key in `meta` that is written only to test whether writing works."""


class SQLiteEventStore(SQLiteReads):
    """The store contract on one file. Only the writer's thread calls `append` and `save_snapshots`.

    A new ledger gets `new_id`; without one the file is only read.
    """

    is_shared = False

    def __init__(self, folder: Folder, *, new_id: UUID | None) -> None:
        is_read_only = new_id is None
        if not is_read_only:
            folder.create()
        folder.require_private(folder.event_store_file)
        super().__init__(
            SQLiteFile(folder.event_store_file, synchronous="FULL", is_read_only=is_read_only)
        )
        self._writer = self.file.connect()
        if new_id is not None:
            prepare(self._writer, folder.event_store_file, new_id)
        self.ledger_id = identify(self._writer, folder.event_store_file)
        self._genesis = genesis(self.ledger_id)

    # -- the append -----------------------------------------------------------------------------

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        """See `EventStore.append`. A version conflict here is a bug: there is one owner."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            outcomes = self._insert(batches, mapper, now)
            self._writer.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._roll_back()
            return self._append_without_conflicts(batches, mapper, now)
        except sqlite3.Error as error:
            self._roll_back()
            if "full" in str(error):
                raise StorageFull from error
            raise AppendUnknown(str(error)) from error
        return outcomes

    def rehearse(self) -> None:
        """See `EventStore.rehearse`: writes a row to `meta` that has no meaning."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute(_PUT_META, (REHEARSAL, ""))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if "full" in str(error):
                raise StorageFull from error
            raise Unavailable(f"The event store cannot be written ({error}): try again.") from error

    def _insert(
        self, batches: Sequence[EventBatch], mapper: EventMapper, now: int
    ) -> list[AppendOutcome]:
        tail = self.tail()
        events = [event for batch in batches for event in batch.events]
        self._writer.executemany(_INSERT_EVENT, rows_of(events, mapper, tail, now))
        texts = [(text.id, text.salt, text.body) for event in events for text in event.texts]
        if texts:
            self._writer.executemany(_INSERT_TEXT, texts)
        for row in (row for batch in batches for row in batch.side_rows):
            self._writer.execute(*_side_table_statement(row))
        return outcomes_of(batches, [None] * len(batches), tail.position)

    def _append_without_conflicts(
        self, batches: Sequence[EventBatch], mapper: EventMapper, now: int
    ) -> list[AppendOutcome]:
        check = VersionCheck(self._version)
        refused = [check.conflict_of(batch) for batch in batches]
        accepted = accepted_of(batches, refused)
        if len(accepted) == len(batches):
            raise AppendUnknown(
                "the database refused the events, but no stream has another version"
            )
        last = self.tail().position
        if accepted:
            self.append(accepted, mapper, now=now)
        return outcomes_of(batches, refused, last)

    def _version(self, stream: UUID) -> int:
        return int(self._writer.execute(_VERSION, (stream.bytes,)).fetchone()[0])

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._writer.rollback()

    def tail(self) -> Tail:
        row = self._writer.execute(TAIL).fetchone()
        return Tail(*row) if row else Tail(0, self._genesis, 0)

    # -- snapshots ------------------------------------------------------------------------------

    def save_snapshots(
        self, job_cache: Sequence[tuple[UUID, int, bytes | None]], *, position: int | None
    ) -> None:
        committed = [
            (job.bytes, version, state) for job, version, state in job_cache if state is not None
        ]
        deleted = [(job.bytes,) for job, _, state in job_cache if state is None]
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(_PUT_SNAPSHOT, committed)
            self._writer.executemany("DELETE FROM snapshots WHERE job = ?", deleted)
            if position is not None:
                self._writer.execute(_PUT_META, (SNAPSHOTS_POSITION, str(position)))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise Unavailable(f"The snapshots could not be saved ({error}).") from error

    def pool_stats(self) -> PoolStats:
        return PoolStats()

    def shared_setting(self, name: str, value: str) -> str:  # noqa: ARG002  one process, one value
        return value

    def node_registry(self) -> None:
        """None: the file lock admits one process."""

    def leader_lock(
        self,
        name: str,  # noqa: ARG002  the only node holds every leader lock
        *,
        silent_seconds: int | None = None,  # noqa: ARG002
    ) -> LeaderLock:
        return AlwaysLeader()

    def close(self) -> None:
        self.file.close()
        self._writer.close()


def _side_table_statement(row: SideTableRow) -> tuple[str, tuple[Any, ...]]:
    """The statement that writes a side-table row, and its values."""
    match row:
        case TokenRow():
            return _PUT_ACCESS, astuple(row)
        case LeaseRow(run_id, _, None):
            return _DROP_LEASE, (run_id,)
        case LeaseRow(run_id, job, expires_at):
            return _PUT_LEASE, (run_id, job.bytes, expires_at)
        case Checkpoint(reader, position):
            return _PUT_META, (f"{CHECKPOINT}{reader}", str(position))
