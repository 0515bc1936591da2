"""The reading half of the event store: one SQL text for both databases, apart from the dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Protocol
from uuid import UUID

from ledger.errors import CorruptEvent
from ledger.store.audit_query import AuditQuery, bounds, where
from ledger.store.hash_chain import EventRow, genesis
from ledger.store.records import LeaseChanges, LeaseRow, StoredEvent, Tail, TokenRow

COLUMNS = (
    "position, stream, version, topic, state, recorded_at, actor, kind, source, correlation_id, "
    "failure_class, chain"
)
"""All of an event's columns, in the order in which they are written and verified."""
CHECKPOINT = "checkpoint:"
"""The prefix of the keys in `meta` for the positions of readers."""
SNAPSHOTS_POSITION = "snapshots_position"
"""The key in `meta` for the position up to which the snapshots are complete."""
LOWEST_POSITION = -(2**63)
ROWS_PER_PAGE = 2000
SNAPSHOTS_PER_PAGE = 5000
TEXTS_PER_PAGE = 500

TAIL = "SELECT position, chain, recorded_at FROM events ORDER BY position DESC LIMIT 1"
_LAST = "SELECT COALESCE(MAX(position), 0) FROM events"
_READ = "SELECT stream, version, topic, state, position, recorded_at, chain FROM events"
_STATE = "SELECT state FROM events WHERE stream = ? AND version = ?"
_POSITION = "SELECT position FROM events WHERE stream = ? AND version = ?"
_LAST_VERSION = "SELECT COALESCE(MAX(version), 0) FROM events WHERE stream = ?"
_RECORDED_AT = "SELECT recorded_at FROM events WHERE position = ?"
_TOKENS = "SELECT id, name, role, kind, digest, expires_at, revoked_at FROM tokens ORDER BY id"
_SNAPSHOTS = (
    "SELECT job, version, state FROM snapshots WHERE job > ? AND state IS NOT NULL "
    "ORDER BY job LIMIT ?"
)
ROWS = f"SELECT {COLUMNS} FROM events WHERE position >= ? ORDER BY position LIMIT ?"


class Cursor(Protocol):
    """What both drivers return for a statement."""

    def fetchone(self) -> tuple[Any, ...] | None: ...

    def fetchall(self) -> list[tuple[Any, ...]]: ...

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...


Execute = Callable[[str, Sequence[Any]], Cursor]
"""Executes a statement with `?` for each value."""


class SqlReads(ABC):
    """See `EventStore`. Any thread may read."""

    unindexed: ClassVar[str] = ""
    """Put after a table: read it whole rather than by an index that does not cover the columns."""
    ignore_index: ClassVar[str] = ""
    """Put before a column: do not choose its index."""
    lease_change: ClassVar[str] = "0"
    """The column that numbers the changes of leases; a constant where there is one process."""

    ledger_id: UUID

    @abstractmethod
    def reading(self) -> AbstractContextManager[Execute]:
        """A connection for reading."""

    def tail_position(self) -> int:
        return int(self._one(_LAST)[0])

    def tail(self) -> Tail:
        rows = self._rows(TAIL)
        return Tail(*rows[0]) if rows else Tail(0, genesis(self.ledger_id), 0)

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        rows = self._rows(_STATE, (stream.bytes, version))
        return rows[0][0] if rows else None

    def read(self, *, after: int, limit: int) -> list[StoredEvent]:
        return self._events(f"{_READ} WHERE position > ? ORDER BY position LIMIT ?", (after, limit))

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        last = upto if upto is not None else 2**62
        return self._events(
            f"{_READ} WHERE stream = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?",
            (stream.bytes, after, last, limit),
        )

    def find(self, query: AuditQuery) -> list[StoredEvent]:
        """One page. Several topics are queried one by one, each in the order of its own index, and
        merged: a database would sort all of them, or scan everything else.
        """
        if len(query.topics) < 2 or query.stream is not None:
            return self._find(query)
        # All topics up to one position, though events arrive meanwhile.
        end, until = self.tail_position(), query.until_position
        last = end if until is None else min(end, until)
        by_topic = (
            self._find(replace(query, topics=(topic,), until_position=last))
            for topic in sorted(set(query.topics))
        )
        merged = merge(*by_topic, key=attrgetter("id"), reverse=query.order == "desc")
        return list(islice(merged, query.limit))

    def _find(self, query: AuditQuery) -> list[StoredEvent]:
        condition, values = where(query, ignore_index=self.ignore_index)
        order = "ASC" if query.order == "asc" else "DESC"
        if query.stream is None:
            statement = f"{_READ} WHERE {condition} ORDER BY position {order} LIMIT ?"
            return self._events(statement, (*values, query.limit))
        first, last = self._versions_between(query, query.stream)
        return self._events(
            f"{_READ} WHERE stream = ? AND version > ? AND version <= ? AND {condition} "
            f"ORDER BY version {order} LIMIT ?",
            (query.stream.bytes, first, last, *values, query.limit),
        )

    def _versions_between(self, query: AuditQuery, stream: UUID) -> tuple[int, int]:
        """The versions of a stream, first exclusive, between the query's positions: versions and
        positions of a stream grow together, and the index has the versions in order.
        """
        after, until = bounds(query)
        last = int(self._one(_LAST_VERSION, (stream.bytes,))[0])
        upto = last if until is None else self._version_at(stream, until, last)
        return min(self._version_at(stream, after or 0, last), upto), upto

    def _version_at(self, stream: UUID, position: int, last: int) -> int:
        """The last version of a stream up to a position, by binary search."""
        low, high = 0, last
        if position <= 0:
            return 0
        if last and (self._position_of(stream, last) or 0) <= position:
            return last
        while low < high:
            middle = (low + high + 1) // 2
            found = self._position_of(stream, middle)
            is_before = found is not None and found <= position
            low, high = (middle, high) if is_before else (low, middle - 1)
        return low

    def _position_of(self, stream: UUID, version: int) -> int | None:
        rows = self._rows(_POSITION, (stream.bytes, version))
        return rows[0][0] if rows else None

    def position_at(self, recorded_at: int) -> int:
        """Binary search by position: `recorded_at` never decreases."""
        with self.reading() as execute:
            low, high = 0, (execute(_LAST, ()).fetchone() or (0,))[0]
            while low < high:
                middle = (low + high + 1) // 2
                at = execute(_RECORDED_AT, (middle,)).fetchone()
                low, high = (middle, high) if at and at[0] <= recorded_at else (low, middle - 1)
        return int(low)

    def topic_counts(self, *, after: int, upto: int) -> Mapping[str, int]:
        return dict(
            self._rows(
                f"SELECT topic, COUNT(*) FROM events{self.unindexed} "
                "WHERE position > ? AND position <= ? GROUP BY topic",
                (after, upto),
            )
        )

    def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        return {text_id: body.decode() for text_id, body in self._texts("id, body", ids)}

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        rows = self._texts("id, salt, body", ids)
        return {text_id: (salt, body) for text_id, salt, body in rows}

    def _texts(self, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), TEXTS_PER_PAGE):
            page = ids[start : start + TEXTS_PER_PAGE]
            placeholders = ", ".join("?" * len(page))
            yield from self._rows(f"SELECT {columns} FROM texts WHERE id IN ({placeholders})", page)

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Page by page: no connection is used while the caller works on the rows."""
        first = LOWEST_POSITION if after is None else after + 1
        page = self._rows(ROWS, (first, ROWS_PER_PAGE))
        while page:
            yield from (EventRow(*row) for row in page)
            is_last = len(page) < ROWS_PER_PAGE
            page = [] if is_last else self._rows(ROWS, (page[-1][0] + 1, ROWS_PER_PAGE))

    def tokens(self) -> list[TokenRow]:
        return [TokenRow(*row) for row in self._rows(_TOKENS)]

    def leases(self, *, after: int = 0) -> LeaseChanges:
        change = self.lease_change
        first = after + 1 if after else 0
        rows = self._rows(
            f"SELECT run_id, job, expires_at, {change} FROM leases WHERE {change} >= ?", (first,)
        )
        found = tuple(LeaseRow(run_id, UUID(bytes=job), at) for run_id, job, at, _ in rows)
        return LeaseChanges(found, max((row[3] for row in rows), default=after))

    def checkpoint(self, reader: str) -> int | None:
        value = self._meta(f"{CHECKPOINT}{reader}")
        return int(value) if value is not None else None

    def load_snapshots(self) -> Iterator[tuple[UUID, int, bytes]]:
        page = self._rows(_SNAPSHOTS, (b"", SNAPSHOTS_PER_PAGE))
        while page:
            for job, version, state in page:
                yield UUID(bytes=job), version, state
            page = self._rows(_SNAPSHOTS, (page[-1][0], SNAPSHOTS_PER_PAGE))

    def snapshots_position(self) -> int:
        return int(self._meta(SNAPSHOTS_POSITION) or 0)

    def _meta(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def _events(self, statement: str, values: Sequence[Any]) -> list[StoredEvent]:
        return [_restored(row) for row in self._rows(statement, values)]

    def _one(self, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        [row] = self._rows(statement, values)
        return row

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as execute:
            return execute(statement, values).fetchall()


def _restored(row: tuple[Any, ...]) -> StoredEvent:
    stream, version, topic, state, position, recorded_at, chain = row
    if not isinstance(stream, bytes) or len(stream) != 16:
        raise CorruptEvent(position, "its stream is not a UUID")
    return StoredEvent(UUID(bytes=stream), version, topic, state, position, recorded_at, chain)
