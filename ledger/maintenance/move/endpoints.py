"""The two ends of a move: what is read at the source, and written at the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol
from uuid import UUID

from ledger.store.event_store import ReadableEvents
from ledger.store.hash_chain import EventRow
from ledger.store.records import Tail
from ledger.store.sql_reads import SqlReads

Values = tuple[Any, ...]
KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a ledger: its columns, the first being the key that orders it."""

    name: str
    columns: tuple[str, ...]
    condition: str = "1 = 1"
    """The rows that are moved, in SQL that both databases understand."""

    @property
    def key(self) -> str:
        return self.columns[0]


EVENTS = Table("events", tuple(item.name for item in fields(EventRow)))
TEXTS = Table("texts", ("id", "salt", "body"))
TOKENS = Table("tokens", ("id", "name", "role", "kind", "digest", "expires_at", "revoked_at"))
LEASES = Table("leases", ("run_id", "job", "expires_at"))
SNAPSHOTS = Table("snapshots", ("job", "version", "state"), "state IS NOT NULL")


class MoveSource(ReadableEvents, Protocol):
    """The location of a ledger, as a move reads it. No other process appends to a source while it
    is open.
    """

    @property
    def location(self) -> str:
        """Its name in messages; never a password."""

    def require_lock(self) -> None:
        """Raise Unavailable when others may have appended since it was opened as a source."""

    def tail(self) -> Tail: ...
    def chain_at(self, position: int) -> bytes | None: ...
    def count(self, table: Table) -> int: ...

    def page(self, table: Table, *, after: object, limit: int) -> list[Values]:
        """Up to `limit` rows in the order of the key, after one (None: from the first)."""

    def meta(self) -> dict[str, str]:
        """Everything in `meta`."""


class MoveTarget(MoveSource, Protocol):
    """The location that a ledger moves into. Each call that writes is durable when it returns."""

    def has_read_models(self) -> bool:
        """Whether it has read models of some ledger."""

    def begin(self, ledger_id: UUID) -> None:
        """Mark it as an incomplete move of this ledger."""

    def missing(self, table: Table, rows: Sequence[Values]) -> list[Values]:
        """The rows whose keys it does not have yet."""

    def add(self, table: Table, rows: Sequence[Values]) -> None:
        """Add rows with new keys; events only after the last one."""

    def replace(self, table: Table, pages: Iterator[list[Values]]) -> None:
        """Replace all rows of a table that is not history."""

    def finish(self, meta: Mapping[str, str]) -> None:
        """Complete the move: store these keys of `meta`, and allow the ledger to be opened."""


class EndpointReads(SqlReads):
    """What both databases read alike for a move."""

    def chain_at(self, position: int) -> bytes | None:
        rows = self._rows("SELECT chain FROM events WHERE position = ?", (position,))
        return rows[0][0] if rows else None

    def count(self, table: Table) -> int:
        return int(self._one(f"SELECT COUNT(*) FROM {table.name} WHERE {table.condition}")[0])

    def page(self, table: Table, *, after: object, limit: int) -> list[Values]:
        begin, values = ("", ()) if after is None else (f"AND {table.key} > ?", (after,))
        return self._rows(
            f"SELECT {', '.join(table.columns)} FROM {table.name} "
            f"WHERE {table.condition} {begin} ORDER BY {table.key} LIMIT ?",
            (*values, limit),
        )

    def meta(self) -> dict[str, str]:
        return dict(self._rows("SELECT key, value FROM meta"))

    def missing(self, table: Table, rows: Sequence[Values]) -> list[Values]:
        here: set[object] = set()
        for start in range(0, len(rows), KEYS_PER_QUERY):
            keys = [row[0] for row in rows[start : start + KEYS_PER_QUERY]]
            marks = ", ".join("?" * len(keys))
            found = self._rows(
                f"SELECT {table.key} FROM {table.name} WHERE {table.key} IN ({marks})", keys
            )
            here.update(key for (key,) in found)
        return [row for row in rows if row[0] not in here]
