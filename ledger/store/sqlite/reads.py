"""What is read from a book on SQLite, over connections apart from the writer's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.errors import CorruptEvent
from ledger.store.audit_query import AuditQuery, where
from ledger.store.audit_search import find_by_topic, versions_between
from ledger.store.hash_chain import EventRow
from ledger.store.records import LeaseChanges, LeaseRow, StoredEvent, TokenRow
from ledger.store.sqlite.connections import SQLiteFile

TEXTS_AT_ONCE = 500
ROWS_AT_ONCE = 2000
FIRST_ROWID = -(2**63)
MARK = "mark:"
"""Begins the keys under which `meta` holds how far readers have come."""

COLUMNS = (
    "position, stream, version, topic, state, recorded_at, actor, kind, source, correlation_id, "
    "failure_class, chain"
)
"""All of an event's columns, in the order in which they are written and verified."""
_READ = "SELECT stream, version, topic, state, position, recorded_at, chain FROM events"
_PLACE = "SELECT position FROM events WHERE stream = ? AND version = ?"
_LAST_VERSION = "SELECT COALESCE(MAX(version), 0) FROM events WHERE stream = ?"
_TOPIC_COUNTS = (
    "SELECT topic, COUNT(*) FROM events NOT INDEXED WHERE position > ? AND position <= ? "
    "GROUP BY topic"
)
_ROWS = f"SELECT {COLUMNS} FROM events WHERE position >= ? ORDER BY position LIMIT ?"


class SQLiteReads:
    """The reading half of the store contract, from any thread."""

    def __init__(self, file: SQLiteFile) -> None:
        self.file = file

    def tail_position(self) -> int:
        with self.file.reading() as connection:
            return int(
                connection.execute("SELECT COALESCE(MAX(position), 0) FROM events").fetchone()[0]
            )

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        with self.file.reading() as connection:
            row = connection.execute(
                "SELECT state FROM events WHERE stream = ? AND version = ?", (stream.bytes, version)
            ).fetchone()
        return row[0] if row else None

    def read(self, *, after: int, limit: int) -> list[StoredEvent]:
        return self._recorded(
            f"{_READ} WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
        )

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        most = upto if upto is not None else 2**62
        return self._recorded(
            f"{_READ} WHERE stream = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?",
            (stream.bytes, after, most, limit),
        )

    def find(self, query: AuditQuery) -> list[StoredEvent]:
        return find_by_topic(query, self._find, self)

    def _find(self, query: AuditQuery) -> list[StoredEvent]:
        condition, values = where(query, quiet="+")
        order = "ASC" if query.order == "asc" else "DESC"
        if query.stream is None:
            statement = f"{_READ} WHERE {condition} ORDER BY position {order} LIMIT ?"
            return self._recorded(statement, (*values, query.limit))
        first, last = versions_between(query, query.stream, self)
        return self._recorded(
            f"{_READ} WHERE stream = ? AND version > ? AND version <= ? AND {condition} "
            f"ORDER BY version {order} LIMIT ?",
            (query.stream.bytes, first, last, *values, query.limit),
        )

    def place_of(self, stream: UUID, version: int) -> int | None:
        with self.file.reading() as connection:
            row = connection.execute(_PLACE, (stream.bytes, version)).fetchone()
        return row[0] if row else None

    def last_version(self, stream: UUID) -> int:
        with self.file.reading() as connection:
            return int(connection.execute(_LAST_VERSION, (stream.bytes,)).fetchone()[0])

    def position_at(self, recorded_at: int) -> int:
        """Binary search by position: recorded_at never goes back."""
        with self.file.reading() as connection:
            low, high = (
                0,
                connection.execute("SELECT COALESCE(MAX(position), 0) FROM events").fetchone()[0],
            )
            while low < high:
                middle = (low + high + 1) // 2
                at = connection.execute(
                    "SELECT recorded_at FROM events WHERE position = ?", (middle,)
                ).fetchone()
                low, high = (middle, high) if at and at[0] <= recorded_at else (low, middle - 1)
        return int(low)

    def topic_counts(self, *, after: int, upto: int) -> Mapping[str, int]:
        with self.file.reading() as connection:
            return dict(connection.execute(_TOPIC_COUNTS, (after, upto)).fetchall())

    def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        return {text_id: body.decode() for text_id, body in self._texts("id, body", ids)}

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        rows = self._texts("id, salt, body", ids)
        return {text_id: (salt, body) for text_id, salt, body in rows}

    def _texts(self, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        with self.file.reading() as connection:
            for start in range(0, len(ids), TEXTS_AT_ONCE):
                some = ids[start : start + TEXTS_AT_ONCE]
                marks = ", ".join("?" * len(some))
                yield from connection.execute(
                    f"SELECT {columns} FROM texts WHERE id IN ({marks})", some
                )

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Row by row, so that one that cannot be read is met at its own place; without `after`
        forged positions below 1 are given too.
        """
        first = FIRST_ROWID if after is None else after + 1
        with self.file.reading() as connection:
            count = ROWS_AT_ONCE
            while count == ROWS_AT_ONCE:
                count = 0
                for row in connection.execute(_ROWS, (first, ROWS_AT_ONCE)):
                    yield EventRow(*row)
                    first, count = row[0] + 1, count + 1

    def tokens(self) -> list[TokenRow]:
        with self.file.reading() as connection:
            rows = connection.execute(
                "SELECT id, name, role, kind, digest, expires_at, revoked_at FROM tokens"
            )
            return [TokenRow(*row) for row in rows]

    def _recorded(self, statement: str, values: Sequence[Any]) -> list[StoredEvent]:
        with self.file.reading() as connection:
            return [_restore(row) for row in connection.execute(statement, values)]

    def leases(self, *, after: int = 0) -> LeaseChanges:  # noqa: ARG002  nobody else changes them
        with self.file.reading() as connection:
            rows = connection.execute("SELECT run_id, job, expires_at FROM leases").fetchall()
        found = (LeaseRow(run_id, UUID(bytes=job), at) for run_id, job, at in rows)
        return LeaseChanges(tuple(found), 0)

    def checkpoint(self, reader: str) -> int | None:
        row = self._meta(f"{MARK}{reader}")
        return int(row) if row is not None else None

    def load_snapshots(self) -> Iterator[tuple[UUID, int, bytes]]:
        with self.file.reading() as connection:
            for job, version, state in connection.execute("SELECT job, version, state FROM heads"):
                yield UUID(bytes=job), version, state

    def snapshots_position(self) -> int:
        return int(self._meta("heads_position") or 0)

    def _meta(self, key: str) -> str | None:
        with self.file.reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None


def _restore(row: tuple[Any, ...]) -> StoredEvent:
    stream, version, topic, state, position, recorded_at, chain = row
    if not isinstance(stream, bytes) or len(stream) != 16:
        raise CorruptEvent(position, "its stream is no UUID")
    return StoredEvent(UUID(bytes=stream), version, topic, state, position, recorded_at, chain)
