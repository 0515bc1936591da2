"""The event store on PostgreSQL: any number of nodes, one append at a time, and triggers that
forbid changes to events.

An append is: lock (a table lock), read the tail (one SELECT), drop what conflicts, insert, commit.
Positions are gapless and become visible in order because the lock ends with the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from ledger.errors import StartRefused, StorageFull, Unavailable
from ledger.store.append import VersionCheck, accepted_of, outcomes_of, rows_of
from ledger.store.cluster import LeaderLock
from ledger.store.event_store import AppendUnknown
from ledger.store.hash_chain import genesis
from ledger.store.instrumentation import Instrumentation, NoInstrumentation
from ledger.store.mapper import EventMapper
from ledger.store.move_state import MOVE, require_complete_move
from ledger.store.postgres.connections import PostgresServer, is_open, one_line
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.leader_lock import PostgresLeaderLock
from ledger.store.postgres.migrations import ROLE, require_version
from ledger.store.postgres.node_registry import PostgresNodeRegistry
from ledger.store.postgres.reads import PostgresReads
from ledger.store.postgres.statements import (
    AFTER_TURNS,
    AGREED,
    COMMIT_WAITS,
    COPY_EVENTS,
    COPY_TEXTS,
    DATABASE_CLOCK,
    EVENT_TYPES,
    LOCK_APPENDS,
    MAY_CHANGE,
    NOTIFY,
    PUT_SHARED_SETTING,
    PUT_SNAPSHOT,
    PUT_SNAPSHOTS_POSITION,
    READ_TAIL,
    REHEARSE,
    TEXT_TYPES,
    side_table_statement,
)
from ledger.store.records import AppendOutcome, EventBatch, PoolStats, Tail

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _AppendState:
    """What the one SELECT under the lock read."""

    tail: Tail
    now: int
    versions: dict[UUID, int]


class PostgresEventStore(PostgresReads):
    """The store contract on one schema of a PostgreSQL database, which `migrate` has prepared.

    Only the writer's thread calls `append` and `save_snapshots`. Each append notifies the channel
    of `hints`, so that other nodes read it. `clock` is the SQL for the instant of an append; it may
    name `%(now)s`, the caller's own instant.
    """

    is_shared = True

    def __init__(
        self,
        address: PostgresDsn,
        *,
        clock: str = DATABASE_CLOCK,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        super().__init__(PostgresServer(address))
        self._instrumentation = instrumentation or NoInstrumentation()
        self._read_tail = READ_TAIL.format(clock=clock)
        self._writer = self.server.first_connection()
        try:
            require_version(self._writer, address.location)
            self.ledger_id = self._identify(self._writer)
            self._warn_of_rights(self._writer)
        except BaseException:
            self._writer.close()
            raise
        self._genesis = genesis(self.ledger_id)
        self.server.open_pool()

    # -- the append -----------------------------------------------------------------------------

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        """See `EventStore.append`. `recorded_at` is the database's clock; `now` is ignored."""
        with self._transaction("append") as connection:
            locked = self._lock_appends(connection, batches, now)
            check = VersionCheck(lambda stream: locked.versions[stream])
            refused = [check.conflict_of(batch) for batch in batches]
            accepted = accepted_of(batches, refused)
            outcomes = outcomes_of(batches, refused, locked.tail.position)
            if not accepted:
                # Without a commit there is no fsync: commands in conflict are decided again.
                self._roll_back(connection)
                return outcomes
            self._insert(connection, accepted, mapper, locked)
            self._commit(connection, outcomes)
        return outcomes

    def _lock_appends(
        self, connection: psycopg.Connection[Any], batches: Sequence[EventBatch], now: int
    ) -> _AppendState:
        """Acquire the append lock, and read the store as the append before left it: in READ
        COMMITTED the SELECT sees what was committed before it began, which is after the lock was
        granted. The server's clock measures how long that took: from the BEGIN to the SELECT.
        """
        streams = list({event.stream: None for batch in batches for event in batch.events})
        with connection.pipeline():
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            connection.execute(LOCK_APPENDS)
            values = {"streams": [stream.bytes for stream in streams], "now": now}
            cursor = connection.execute(self._read_tail, values, binary=True)
        [(position, chain, recorded_at, clock, waited, versions)] = cursor.fetchall()
        self._instrumentation.waited_for_append_lock(waited / 1_000_000)
        tail = self._tail_of((position, chain, recorded_at) if position else None)
        found = {stream: last or 0 for stream, last in zip(streams, versions, strict=True)}
        return _AppendState(tail, clock, found)

    def _insert(
        self,
        connection: psycopg.Connection[Any],
        batches: Sequence[EventBatch],
        mapper: EventMapper,
        locked: _AppendState,
    ) -> None:
        events = [event for batch in batches for event in batch.events]
        if events:
            rows = rows_of(events, mapper, locked.tail, locked.now)
            _copy(connection, COPY_EVENTS, EVENT_TYPES, rows)
        texts = [(text.id, text.salt, text.body) for event in events for text in event.texts]
        if texts:
            _copy(connection, COPY_TEXTS, TEXT_TYPES, texts)
        for row in (row for batch in batches for row in batch.side_rows):
            connection.execute(*side_table_statement(row))

    def _commit(
        self, connection: psycopg.Connection[Any], outcomes: list[AppendOutcome] | None
    ) -> None:
        """From the moment COMMIT is sent until it is answered the outcome is unknown. A server that
        answers with an ERROR has committed nothing; FATAL may be the last answer of a backend that
        had committed.
        """
        try:
            with connection.pipeline():
                connection.execute(COMMIT_WAITS)
                connection.execute(NOTIFY)
                connection.execute("COMMIT")
        except psycopg.Error as error:
            if error.diag.severity_nonlocalized == "ERROR":
                raise
            raise AppendUnknown(one_line(error), outcomes) from error

    def rehearse(self) -> None:
        """See `EventStore.rehearse`: inserts an event under the append lock, and rolls it back."""
        with self._transaction("rehearsal") as connection:
            connection.execute("BEGIN")
            connection.execute(LOCK_APPENDS)
            connection.execute(REHEARSE)
            connection.execute("ROLLBACK")

    # -- transactions of the writer -------------------------------------------------------------

    @contextmanager
    def _transaction(self, what: str) -> Iterator[psycopg.Connection[Any]]:
        """The writer's connection, reconnected if it was lost. Errors inside roll back, and are
        raised as what they mean.
        """
        try:
            connection = self._connected()
            try:
                yield connection
            except BaseException:
                self._roll_back(connection)
                raise
        except psycopg.errors.DiskFull as error:
            raise StorageFull from error
        except psycopg.IntegrityError as error:
            raise AppendUnknown(one_line(error)) from error
        except psycopg.Error as error:
            raise Unavailable(
                f"The database did not accept the {what}, and nothing was "
                f"committed ({one_line(error)}): try again."
            ) from error

    def _connected(self) -> psycopg.Connection[Any]:
        """The connection, or a new one when the server has closed it meanwhile."""
        if not is_open(self._writer):
            self._writer.close()
            try:
                self._writer = self.server.connect()
            except StartRefused as error:
                raise Unavailable(error.message) from error
        return self._writer

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        """Leave the transaction; a connection that cannot is dropped, and the server ends it."""
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    # -- questions that wait for the writers -----------------------------------------------------

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        """See `EventStore.command_at`. Waits for appends under way: a lost one may still be
        ending.
        """
        with self.server.reading() as connection, connection.transaction():
            connection.execute(AFTER_TURNS)
            row = connection.execute(
                "SELECT state FROM events WHERE stream = %s AND version = %s",
                (stream.bytes, version),
            ).fetchone()
        return row[0] if row else None

    def _tail_of(self, row: tuple[Any, ...] | None) -> Tail:
        return Tail(*row) if row else Tail(0, self._genesis, 0)

    # -- snapshots ------------------------------------------------------------------------------

    def save_snapshots(
        self, job_cache: Sequence[tuple[UUID, int, bytes | None]], *, position: int | None
    ) -> None:
        """See `EventStore.save_snapshots`. Another node's newer snapshots, and its later position,
        stay.
        """
        with self._transaction("snapshots") as connection:
            connection.execute("BEGIN")
            rows = sorted((job.bytes, version, state) for job, version, state in job_cache)
            connection.cursor().executemany(PUT_SNAPSHOT, rows)
            if position is not None:
                connection.execute(PUT_SNAPSHOTS_POSITION, (str(position),))
            connection.execute("COMMIT")

    def pool_stats(self) -> PoolStats:
        return self.server.pool()

    def shared_setting(self, name: str, value: str) -> str:
        with self.server.reading() as connection:
            connection.execute(PUT_SHARED_SETTING, (f"{AGREED}{name}", value))
        return self._meta(f"{AGREED}{name}") or value

    def node_registry(self) -> PostgresNodeRegistry:
        return PostgresNodeRegistry(self.server)

    def leader_lock(self, name: str, *, silent_seconds: int | None = None) -> LeaderLock:
        return PostgresLeaderLock(self.server, name, silent_seconds=silent_seconds)

    def close(self) -> None:
        self.server.close()
        self._writer.close()

    # -- opening --------------------------------------------------------------------------------

    def _identify(self, connection: psycopg.Connection[Any]) -> UUID:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        if "ledger_id" not in meta:
            raise StartRefused(f"{self.server.address.location} has lost its ledger's id.")
        require_complete_move(meta.get(MOVE), self.server.address.location)
        return UUID(meta["ledger_id"])

    def _warn_of_rights(self, connection: psycopg.Connection[Any]) -> None:
        row = connection.execute(MAY_CHANGE).fetchone()
        if row and row[0]:
            log.info(
                "this role may change events, and only triggers prevent it: run as a member of %s",
                ROLE,
            )


def _copy(
    connection: psycopg.Connection[Any],
    statement: str,
    types: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    with connection.cursor().copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
