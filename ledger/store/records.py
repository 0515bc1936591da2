"""What is written to the event store and read from it, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Notification

from ledger.domain.events import Event
from ledger.store.codec import Text


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """One event to append. `state` is None while it waits for positions to be filled in."""

    event: Event
    stream: UUID
    version: int
    topic: str
    plain: Mapping[str, Any]
    state: bytes | None
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One access token in the side table. `digest` is SHA-256 of the secret; instants are µs since
    the epoch, or None.
    """

    id: str
    name: str
    role: str
    kind: str
    digest: bytes
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease of a run that is executed outside of this process (by a worker, or a target that
    took it over with HTTP 202). `expires_at` is in µs since the epoch; None deletes the row.
    """

    run_id: str
    job: UUID
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class LeaseChanges:
    """The leases that were written after some change, and the last of these changes."""

    rows: tuple[LeaseRow, ...]
    change: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a reader of the ledger has come: a position that outlives the process."""

    reader: str
    position: int


SideTableRow = TokenRow | LeaseRow | Checkpoint
"""What is stored beside the events, in the transaction of a command: state that is not history."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events of one command: all of them are appended, or none. The `side_rows` are written in
    the same transaction.
    """

    events: tuple[PendingEvent, ...]
    side_rows: tuple[SideTableRow, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.events or self.side_rows)


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch was appended, at these positions."""

    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VersionConflict:
    """The batch was refused: the stream has another version than the command had read."""

    stream: UUID
    expected: int
    actual: int


AppendOutcome = Committed | VersionConflict


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections for reading: how many there are, how many of them are idle, and how many queries
    wait for one.
    """

    connections: int = 0
    idle: int = 0
    waiting: int = 0


@dataclass(frozen=True)
class StoredEvent(Notification):
    """One event as it is stored; `id` is its position, `recorded_at` is in µs since the epoch."""

    recorded_at: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event for readers: its columns and its plain fields, free text joined in. Instants in
    `data` are strings.
    """

    position: int
    topic: str
    stream: UUID
    version: int
    recorded_at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the event store: the last position (0 when empty), its chain value and its
    recorded_at (µs).
    """

    position: int
    chain: bytes
    recorded_at: int
