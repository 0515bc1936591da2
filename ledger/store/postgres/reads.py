"""What is read from a book on PostgreSQL, over pooled connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.errors import CorruptEvent
from ledger.store.audit_query import AuditQuery, where
from ledger.store.audit_search import find_by_topic, versions_between
from ledger.store.hash_chain import EventRow
from ledger.store.postgres.connections import PostgresServer
from ledger.store.records import LeaseChanges, LeaseRow, StoredEvent, TokenRow

TEXTS_AT_ONCE = 2000
ROWS_AT_ONCE = 2000
SNAPSHOTS_AT_ONCE = 5000
FIRST_POSITION = -(2**63)
MARK = "mark:"
"""Begins the keys under which `meta` holds how far readers have come."""

COLUMNS = (
    "position, stream, version, topic, state, recorded_at, actor, kind, source, correlation_id, "
    "failure_class, chain"
)
"""All of an event's columns, in the order in which they are written and verified."""
_READ = "SELECT stream, version, topic, state, position, recorded_at, chain FROM events"
_LAST = "SELECT COALESCE(MAX(position), 0) FROM events"
_PLACE = "SELECT position FROM events WHERE stream = %s AND version = %s"
_LAST_VERSION = "SELECT COALESCE(MAX(version), 0) FROM events WHERE stream = %s"
_TOPIC_COUNTS = (
    "SELECT topic, COUNT(*) FROM events WHERE position > %s AND position <= %s GROUP BY topic"
)
_ROWS = f"SELECT {COLUMNS} FROM events WHERE position >= %s ORDER BY position LIMIT %s"
_LEASES = "SELECT run_id, job, expires_at, change FROM leases WHERE change > %s ORDER BY change"
_SNAPSHOTS = (
    "SELECT job, version, state FROM heads WHERE job > %s AND state IS NOT NULL "
    "ORDER BY job LIMIT %s"
)


class PostgresReads:
    """The reading half of the store contract, from any thread."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def tail_position(self) -> int:
        return int(self._one(_LAST)[0])

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        rows = self._rows(
            "SELECT state FROM events WHERE stream = %s AND version = %s", (stream.bytes, version)
        )
        return rows[0][0] if rows else None

    def read(self, *, after: int, limit: int) -> list[StoredEvent]:
        return self._recorded(
            f"{_READ} WHERE position > %s ORDER BY position LIMIT %s", (after, limit)
        )

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        most = upto if upto is not None else 2**62
        return self._recorded(
            f"{_READ} WHERE stream = %s AND version > %s AND version <= %s "
            "ORDER BY version LIMIT %s",
            (stream.bytes, after, most, limit),
        )

    def find(self, query: AuditQuery) -> list[StoredEvent]:
        return find_by_topic(query, self._find, self)

    def _find(self, query: AuditQuery) -> list[StoredEvent]:
        condition, values = where(query, "%s")
        order = "ASC" if query.order == "asc" else "DESC"
        if query.stream is None:
            statement = f"{_READ} WHERE {condition} ORDER BY position {order} LIMIT %s"
            return self._recorded(statement, (*values, query.limit))
        first, last = versions_between(query, query.stream, self)
        return self._recorded(
            f"{_READ} WHERE stream = %s AND version > %s AND version <= %s AND {condition} "
            f"ORDER BY version {order} LIMIT %s",
            (query.stream.bytes, first, last, *values, query.limit),
        )

    def place_of(self, stream: UUID, version: int) -> int | None:
        rows = self._rows(_PLACE, (stream.bytes, version))
        return rows[0][0] if rows else None

    def last_version(self, stream: UUID) -> int:
        return int(self._one(_LAST_VERSION, (stream.bytes,))[0])

    def position_at(self, recorded_at: int) -> int:
        """Binary search by position: recorded_at never goes back."""
        with self.server.reading() as connection:
            low, high = 0, (connection.execute(_LAST).fetchone() or (0,))[0]
            while low < high:
                middle = (low + high + 1) // 2
                at = connection.execute(
                    "SELECT recorded_at FROM events WHERE position = %s", (middle,)
                ).fetchone()
                low, high = (middle, high) if at and at[0] <= recorded_at else (low, middle - 1)
        return int(low)

    def topic_counts(self, *, after: int, upto: int) -> Mapping[str, int]:
        return dict(self._rows(_TOPIC_COUNTS, (after, upto)))

    def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        return {text_id: body.decode() for text_id, body in self._texts("id, body", ids)}

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        rows = self._texts("id, salt, body", ids)
        return {text_id: (salt, body) for text_id, salt, body in rows}

    def _texts(self, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), TEXTS_AT_ONCE):
            some = list(ids[start : start + TEXTS_AT_ONCE])
            yield from self._rows(f"SELECT {columns} FROM texts WHERE id = ANY(%s)", (some,))

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Row by row; no connection is held while the caller looks at them."""
        first = FIRST_POSITION if after is None else after + 1
        page = self._rows(_ROWS, (first, ROWS_AT_ONCE))
        while page:
            yield from (EventRow(*row) for row in page)
            is_last = len(page) < ROWS_AT_ONCE
            page = [] if is_last else self._rows(_ROWS, (page[-1][0] + 1, ROWS_AT_ONCE))

    def tokens(self) -> list[TokenRow]:
        rows = self._rows(
            "SELECT id, name, role, kind, digest, expires_at, revoked_at FROM tokens ORDER BY id"
        )
        return [TokenRow(*row) for row in rows]

    def leases(self, *, after: int = 0) -> LeaseChanges:
        rows = self._rows(_LEASES, (after,))
        found = (LeaseRow(run_id, UUID(bytes=job), at) for run_id, job, at, _ in rows)
        return LeaseChanges(tuple(found), rows[-1][3] if rows else after)

    def checkpoint(self, reader: str) -> int | None:
        row = self._meta(f"{MARK}{reader}")
        return int(row) if row is not None else None

    def load_snapshots(self) -> Iterator[tuple[UUID, int, bytes]]:
        page = self._rows(_SNAPSHOTS, (b"", SNAPSHOTS_AT_ONCE))
        while page:
            for job, version, state in page:
                yield UUID(bytes=job), version, state
            page = self._rows(_SNAPSHOTS, (page[-1][0], SNAPSHOTS_AT_ONCE))

    def snapshots_position(self) -> int:
        return int(self._meta("heads_position") or 0)

    def _meta(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key = %s", (key,))
        return rows[0][0] if rows else None

    def _recorded(self, statement: str, values: Sequence[Any]) -> list[StoredEvent]:
        return [_restore(row) for row in self._rows(statement, values)]

    def _one(self, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        [row] = self._rows(statement, values)
        return row

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.server.reading() as connection:
            return connection.execute(statement, values, binary=True).fetchall()


def _restore(row: tuple[Any, ...]) -> StoredEvent:
    stream, version, topic, state, position, recorded_at, chain = row
    if len(stream) != 16:
        raise CorruptEvent(position, "its stream is no UUID")
    return StoredEvent(UUID(bytes=stream), version, topic, state, position, recorded_at, chain)
