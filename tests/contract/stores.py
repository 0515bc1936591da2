"""An event store on its database, as the contract suite uses it: through the contract, and with
direct statements past it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg

from ledger.domain.aggregate import Stream
from ledger.store.codec import Codec, PlainJSON
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import migrate
from ledger.store.postgres.statements import CALLERS_CLOCK
from ledger.store.postgres.store import PostgresEventStore
from ledger.store.records import AppendOutcome, Committed, EventBatch, SideTableRow
from ledger.store.sqlite.folder import Folder
from ledger.store.sqlite.store import SQLiteEventStore
from tests.support.builders import NOON, SeededChance

_COPY = "INTO events SELECT"
_REST = (
    "'job.deleted', state, recorded_at, actor, kind, source, correlation_id, failure_class, chain "
    "FROM events WHERE position = 2"
)
_numbers = count(1)
NOW = round(NOON.timestamp() * 1_000_000)


class StoreHarness(Protocol):
    """What the suite needs of a database besides the contract itself."""

    event_store: EventStore
    mapper: EventMapper
    refusals: tuple[type[Exception], ...]
    """What the database raises when it forbids a statement."""
    ways_around: tuple[str, ...]
    """Statements of this database that would change events without UPDATE or DELETE."""

    is_typed: bool
    """Whether a column accepts only its own type, and text only UTF-8 without NUL."""

    def reopen(self) -> None:
        """Close the store and open it again, as the next process would."""

    def execute_directly(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement directly in the database."""

    def drop_protection(self) -> None:
        """Remove the triggers and indexes of events, as an intruder would."""

    def close(self) -> None: ...


class SQLiteStoreHarness:
    """An event store on SQLite. `?` marks parameters."""

    refusals: tuple[type[Exception], ...] = (sqlite3.IntegrityError,)
    ways_around: tuple[str, ...] = (
        f"INSERT OR REPLACE {_COPY} 1, x'00', 1, {_REST}",
        f"INSERT OR REPLACE {_COPY} 9, stream, version, {_REST}",
        f"INSERT {_COPY} 0, x'00', 1, {_REST}",
    )

    is_typed = False

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._chance = SeededChance(7)
        self._open()

    def _open(self) -> None:
        self.event_store: EventStore = SQLiteEventStore(self._folder, new_id=self._chance.new_id())
        codec = Codec(self._chance.random_bytes, PlainJSON())
        self.mapper = EventMapper(codec, self.event_store.texts)
        self._direct = sqlite3.connect(self._folder.event_store_file, isolation_level=None)
        self._direct.execute("PRAGMA synchronous=OFF")

    def reopen(self) -> None:
        self.close()
        self._open()

    def execute_directly(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._direct.execute(statement, values).fetchall()

    def drop_protection(self) -> None:
        made = self.execute_directly(
            "SELECT type, name FROM sqlite_master WHERE tbl_name = 'events'"
        )
        for kind, name in made:
            if kind in ("trigger", "index"):
                self.execute_directly(f"DROP {kind} {name}")

    def close(self) -> None:
        self._direct.close()
        self.event_store.close()


class PostgresStoreHarness:
    """An event store on PostgreSQL, in a schema of its own. `?` marks parameters, as on SQLite."""

    refusals: tuple[type[Exception], ...] = (psycopg.errors.RaiseException,)
    ways_around: tuple[str, ...] = (
        "TRUNCATE events",
        "TRUNCATE events CASCADE",
        f"INSERT {_COPY} 1, '\\x00'::bytea, 1, {_REST} ON CONFLICT (position) "
        "DO UPDATE SET topic = excluded.topic",
        "MERGE INTO events USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
    )
    is_typed = True

    def __init__(self, dsn: str, schema: str, *, clock: str = CALLERS_CLOCK) -> None:
        self.address = PostgresDsn(dsn, schema)
        self._clock = clock
        self._chance = SeededChance(7)
        migrate(self.address, new_id=self._chance.new_id())
        self._direct = psycopg.connect(dsn, autocommit=True)
        self.execute_directly(f"SET search_path = {schema}")
        self.execute_directly("SET synchronous_commit = off")
        self._open()

    def _open(self) -> None:
        self.event_store: EventStore = self.another_event_store()
        codec = Codec(self._chance.random_bytes, PlainJSON())
        self.mapper = EventMapper(codec, self.event_store.texts)

    def another_event_store(self) -> PostgresEventStore:
        """The same store as another node opens it; the caller closes it."""
        return PostgresEventStore(self.address, clock=self._clock)

    def reopen(self) -> None:
        self.event_store.close()
        self._open()

    def execute_directly(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._direct.execute(statement.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def drop_protection(self) -> None:
        self.execute_directly("ALTER TABLE events DISABLE TRIGGER USER")
        self.execute_directly("ALTER TABLE events DROP CONSTRAINT events_pkey")
        self.execute_directly("ALTER TABLE events DROP CONSTRAINT events_position_check")
        of_events = "SELECT indexname FROM pg_indexes WHERE schemaname = ? AND tablename = 'events'"
        for (name,) in self.execute_directly(of_events, [self.address.schema]):
            self.execute_directly(f"DROP INDEX {name}")

    def abandon(self) -> None:
        """Drop the connection without closing it on the server."""
        self.event_store.close()
        self._direct.close()

    def close(self) -> None:
        self.event_store.close()
        self.execute_directly(f"DROP SCHEMA {self.address.schema} CASCADE")
        self._direct.close()


def own_name() -> str:
    """A name for a database that no other test, worker or run uses."""
    return f"shelf_{os.getpid()}_{next(_numbers)}"


# -- what is appended ---------------------------------------------------------------------------


def batch_of(
    harness: StoreHarness, *streams: Stream, beside: Sequence[SideTableRow] = ()
) -> EventBatch:
    """One command's events: everything that these streams have decided and not appended yet."""
    drafts = [harness.mapper.pending_event(event) for stream in streams for event in stream.pending]
    for stream in streams:
        stream.pending_events.clear()
    return EventBatch(tuple(drafts), tuple(beside))


def append(harness: StoreHarness, *groups: EventBatch, now: int = NOW) -> list[AppendOutcome]:
    """Append batches in one transaction."""
    return harness.event_store.append(groups, harness.mapper, now=now)


def append_decided(harness: StoreHarness, *streams: Stream, now: int = NOW) -> tuple[int, ...]:
    """Append what streams decided, as one batch that must be committed; returns its positions."""
    [outcome] = append(harness, batch_of(harness, *streams), now=now)
    assert isinstance(outcome, Committed)
    return outcome.positions
