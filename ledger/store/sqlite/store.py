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
from ledger.store.append import VersionCheck, commit_in_turn, places, row_of
from ledger.store.cluster import AlwaysLeader, LeaderLock
from ledger.store.event_store import AppendUnknown
from ledger.store.hash_chain import genesis
from ledger.store.mapper import EventMapper
from ledger.store.records import (
    AppendOutcome,
    Checkpoint,
    EventBatch,
    LeaseRow,
    PendingEvent,
    PoolStats,
    SideTableRow,
    Tail,
    TokenRow,
)
from ledger.store.sql_reads import CHECKPOINT, COLUMNS, SNAPSHOTS_POSITION
from ledger.store.sqlite.connections import SQLiteFile
from ledger.store.sqlite.folder import Folder
from ledger.store.sqlite.reads import SQLiteReads
from ledger.store.sqlite.schema import identify, prepare

_TAIL = "SELECT position, chain, recorded_at FROM events ORDER BY position DESC LIMIT 1"
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
        self, groups: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        """See `EventStore.append`. A version conflict here is a bug: there is one owner."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            outcomes = self._insert(groups, mapper, now)
            self._writer.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._roll_back()
            return self._append_what_fits(groups, mapper, now)
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
        self, groups: Sequence[EventBatch], mapper: EventMapper, now: int
    ) -> list[AppendOutcome]:
        tail = self.tail()
        drafts = [draft for group in groups for draft in group.events]
        positions = places(drafts, tail.position)
        recorded_at = max(tail.recorded_at, now)
        rows: list[tuple[Any, ...]] = []
        chain = tail.chain
        for position, draft in enumerate(drafts, start=tail.position + 1):
            state = mapper.seal(draft, positions)
            row, chain = row_of(position, draft, state, recorded_at, chain)
            rows.append(row)
        self._writer.executemany(_INSERT_EVENT, rows)
        self._insert_beside(groups, drafts)
        return commit_in_turn(groups, tail.position)

    def _insert_beside(self, groups: Sequence[EventBatch], drafts: Sequence[PendingEvent]) -> None:
        texts = [(text.id, text.salt, text.body) for draft in drafts for text in draft.texts]
        if texts:
            self._writer.executemany(_INSERT_TEXT, texts)
        for row in (row for group in groups for row in group.side_rows):
            self._writer.execute(*_beside(row))

    def _append_what_fits(
        self, groups: Sequence[EventBatch], mapper: EventMapper, now: int
    ) -> list[AppendOutcome]:
        fit = VersionCheck(self._version)
        outcomes: list[AppendOutcome | None] = [fit.superseded(group) for group in groups]
        fitting = [
            group for group, outcome in zip(groups, outcomes, strict=True) if outcome is None
        ]
        if len(fitting) == len(groups):
            raise AppendUnknown(
                "the database refused the events, but no stream has another version"
            )
        kept = iter(self.append(fitting, mapper, now=now) if fitting else ())
        return [outcome or next(kept) for outcome in outcomes]

    def _version(self, stream: UUID) -> int:
        return int(self._writer.execute(_VERSION, (stream.bytes,)).fetchone()[0])

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._writer.rollback()

    def tail(self) -> Tail:
        row = self._writer.execute(_TAIL).fetchone()
        return Tail(*row) if row else Tail(0, self._genesis, 0)

    # -- heads ----------------------------------------------------------------------------------

    def save_snapshots(
        self, job_cache: Sequence[tuple[UUID, int, bytes | None]], *, position: int | None
    ) -> None:
        kept = [
            (job.bytes, version, state) for job, version, state in job_cache if state is not None
        ]
        gone = [(job.bytes,) for job, _, state in job_cache if state is None]
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(_PUT_SNAPSHOT, kept)
            self._writer.executemany("DELETE FROM snapshots WHERE job = ?", gone)
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


def _beside(row: SideTableRow) -> tuple[str, tuple[Any, ...]]:
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
