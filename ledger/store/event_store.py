"""The store contract: what the ledger requires of an event store, on either database. One contract
suite runs against each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from ledger.store.audit_query import AuditQuery
from ledger.store.cluster import LeaderLock, NodeRegistry
from ledger.store.hash_chain import EventRow
from ledger.store.mapper import EventMapper
from ledger.store.records import (
    AppendOutcome,
    EventBatch,
    LeaseChanges,
    PoolStats,
    StoredEvent,
    Tail,
    TokenRow,
)


class AppendUnknown(Exception):
    """The store did not confirm whether the transaction was committed: look its events up before
    answering. `outcomes` are those of the batches if it was, where they are known.
    """

    def __init__(self, detail: str, outcomes: list[AppendOutcome] | None = None) -> None:
        super().__init__(detail)
        self.outcomes = outcomes


class ReadableEvents(Protocol):
    """What verification, forks, moves and backups read of an event store, opened as a ledger or
    from any file.
    """

    @property
    def ledger_id(self) -> UUID: ...

    def tail_position(self) -> int:
        """The last committed position, from any thread."""

    def read(self, *, after: int, limit: int) -> list[StoredEvent]:
        """Up to `limit` events with positions above `after`, in order."""

    def position_at(self, recorded_at: int) -> int:
        """The last position recorded at or before an instant (µs), 0 when there is none."""

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Every row with every column, for verification; one that cannot be read raises at its own
        position.
        """

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        """Salt and body of the free texts with these ids, for verification; erased ones are left
        out.
        """


class EventStore(ReadableEvents, Protocol):
    """Events in one total order, with the side tables. Positions are gapless from 1."""

    is_shared: bool
    """Whether other nodes append too: then events may follow those that this process wrote."""

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        """Commit each batch whole or not at all, all of them in one durable transaction. `now` is
        in µs.

        A batch whose stream has another version is a VersionConflict and affects no other batch.
        Raises AppendUnknown when the outcome is not known, StorageFull when there was no room,
        Unavailable when nothing was committed.
        """

    def rehearse(self) -> None:
        """Write as much as an append would, without committing anything. Only the writer's thread
        calls it. Raises StorageFull or Unavailable as an append would.
        """

    def tail(self) -> Tail:
        """The last event's position, chain value and instant."""

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        """The stored state of one version of a stream, or None: how an unknown append is looked
        up.
        """

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        """Up to `limit` events of one stream with versions above `after`, at most `upto`."""

    def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The free texts with these ids; erased ones are left out."""

    def find(self, query: AuditQuery) -> list[StoredEvent]:
        """The events that match an audit query, one page."""

    def topic_counts(self, *, after: int, upto: int) -> Mapping[str, int]:
        """How often each topic occurs at positions above `after`, at most `upto`."""

    def tokens(self) -> list[TokenRow]:
        """All access tokens, revoked ones too."""

    def leases(self, *, after: int = 0) -> LeaseChanges:
        """The leases, of runs that are executed elsewhere, that were written after a change; all of
        them after 0. Ended ones are left out.
        """

    def checkpoint(self, reader: str) -> int | None:
        """The position that a reader of the ledger has processed; None at its first start."""

    def load_snapshots(self) -> Iterator[tuple[UUID, int, bytes]]:
        """The saved snapshots: job, version, serialized state."""

    def snapshots_position(self) -> int:
        """The position up to which the saved snapshots are complete."""

    def save_snapshots(
        self, job_cache: Sequence[tuple[UUID, int, bytes | None]], *, position: int | None
    ) -> None:
        """Save (or, with None, delete) snapshots; with `position`, declare them complete up to
        there.
        """

    def pool_stats(self) -> PoolStats:
        """How the connections for reading are used; all zero where there is no such pool."""

    def shared_setting(self, name: str, value: str) -> str:
        """The value of a setting that all nodes share: this one, unless another node stored its own
        first.
        """

    def node_registry(self) -> NodeRegistry | None:
        """The registry of living nodes; None where there is only one."""

    def leader_lock(self, name: str, *, silent_seconds: int | None = None) -> LeaderLock:
        """A leader lock for this node; the caller closes it. Its holder loses it after so many
        seconds without contact.
        """

    def close(self) -> None:
        """Close the connections."""
