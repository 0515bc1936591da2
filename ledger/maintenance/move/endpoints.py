"""The places of ledgers as a move knows them: what is read in one, and written in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol
from uuid import UUID

from ledger.store.event_store import ReadableEvents
from ledger.store.hash_chain import EventRow
from ledger.store.records import Tail

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a ledger: its columns, the first being the key that orders it."""

    name: str
    columns: tuple[str, ...]
    condition: str = "1 = 1"
    """Which rows are moved, in words that every database knows."""

    @property
    def key(self) -> str:
        return self.columns[0]


EVENTS = Table("events", tuple(item.name for item in fields(EventRow)))
TEXTS = Table("texts", ("id", "salt", "body"))
TOKENS = Table("tokens", ("id", "name", "role", "kind", "digest", "expires_at", "revoked_at"))
LEASES = Table("leases", ("run_id", "job", "expires_at"))
SNAPSHOTS = Table("snapshots", ("job", "version", "state"), "state IS NOT NULL")


class MoveSource(ReadableEvents, Protocol):
    """A place of a ledger, as a move reads it. Nobody else appends to a source while it is open."""

    @property
    def place(self) -> str:
        """Its name in messages; never a password."""
        ...

    def keep_hold(self) -> None:
        """Unavailable when others may have appended since it was opened as a source."""
        ...

    def tail(self) -> Tail: ...
    def chain_at(self, position: int) -> bytes | None: ...
    def count(self, table: Table) -> int: ...

    def page(self, table: Table, *, after: object, limit: int) -> list[Values]:
        """Up to `limit` rows in the order of the key, after one (None: from the first)."""
        ...

    def facts(self) -> dict[str, str]:
        """Everything in `meta`."""
        ...


class MoveTarget(MoveSource, Protocol):
    """A place that a ledger moves into. Each call that writes is durable when it returns."""

    def has_read_models(self) -> bool:
        """Whether read models of some ledger lie beside it."""
        ...

    def begin(self, ledger_id: UUID) -> None:
        """Become, half moved, the place of this ledger."""
        ...

    def missing(self, table: Table, rows: Sequence[Values]) -> list[Values]:
        """The rows whose keys are not here yet."""
        ...

    def add(self, table: Table, rows: Sequence[Values]) -> None:
        """Rows whose keys are new; events behind the last one only."""
        ...

    def replace(self, table: Table, pages: Iterator[list[Values]]) -> None:
        """All rows of a table that is no history."""
        ...

    def settle(self, facts: Mapping[str, str]) -> None:
        """The move is done: keep these facts, and be a ledger that may be opened."""
        ...
