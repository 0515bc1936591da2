"""The store contract: what the ledger asks of a book, on whatever database. One contract suite runs
against each.
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
    """The store did not say whether the transaction was kept: look its events up before answering
    anybody. `outcomes` are what it gave its groups if it was kept, where that is known.
    """

    def __init__(self, detail: str, outcomes: list[AppendOutcome] | None = None) -> None:
        super().__init__(detail)
        self.outcomes = outcomes


class ReadableEvents(Protocol):
    """What verification, forks, moves and backups read of an event store, whole or in any file."""

    @property
    def ledger_id(self) -> UUID: ...

    def tail_position(self) -> int:
        """The last committed position, from any thread."""
        ...

    def read(self, *, after: int, limit: int) -> list[StoredEvent]:
        """Up to `limit` events with positions above `after`, in order."""
        ...

    def position_at(self, recorded_at: int) -> int:
        """The last position recorded at or before an instant (µs), 0 when there is none."""
        ...

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Every row with every column, for verification; one that cannot be read raises at its own
        position.
        """
        ...

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        """Salt and body of the free texts with these ids, for verification; forgotten ones are left
        out.
        """
        ...


class EventStore(ReadableEvents, Protocol):
    """Events in one total order, with the small tables beside them. Positions are gapless from
    1.
    """

    is_shared: bool
    """Whether other nodes append too: then its end may lie beyond what this process wrote."""

    def append(
        self, groups: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        """Keep each group whole or not at all, all kept ones in one durable transaction. `now` is
        in µs.

        A group whose stream moved on is Superseded and costs only itself. Raises AppendUnknown when
        the outcome is not known, StorageFull when there was no room, Unavailable when nothing was
        kept.
        """
        ...

    def rehearse(self) -> None:
        """Write what an append would, as far as can be without keeping anything. Only the writer's
        thread asks. Raises StorageFull or Unavailable as an append would.
        """
        ...

    def tail(self) -> Tail:
        """The end of the book."""
        ...

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        """The stored state at one place of a stream, or None: how an unknown append is looked
        up.
        """
        ...

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        """Up to `limit` events of one stream with versions above `after`, at most `upto`."""
        ...

    def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The free texts with these ids; forgotten ones are left out."""
        ...

    def find(self, query: AuditQuery) -> list[StoredEvent]:
        """The events an audit query asks for, one page."""
        ...

    def topic_counts(self, *, after: int, upto: int) -> Mapping[str, int]:
        """How often each topic occurs at positions above `after`, at most `upto`."""
        ...

    def tokens(self) -> list[TokenRow]:
        """All access tokens, revoked ones too."""
        ...

    def leases(self, *, after: int = 0) -> LeaseChanges:
        """The leases, of the runs whose work is done elsewhere, that were written after a change;
        all of them after 0. Ended ones are not among them.
        """
        ...

    def checkpoint(self, reader: str) -> int | None:
        """The position that one of our own readers has come to; None at its first start."""
        ...

    def load_snapshots(self) -> Iterator[tuple[UUID, int, bytes]]:
        """The saved heads: job, version, frozen state."""
        ...

    def snapshots_position(self) -> int:
        """The position up to which the saved heads are complete."""
        ...

    def save_snapshots(
        self, job_cache: Sequence[tuple[UUID, int, bytes | None]], *, position: int | None
    ) -> None:
        """Save (or, with None, drop) heads; with `position`, declare them complete up to there."""
        ...

    def pool_stats(self) -> PoolStats:
        """How the connections for reading are used; all zero where there is no such pool."""
        ...

    def shared_setting(self, name: str, value: str) -> str:
        """What all nodes hold as `name`: this value, unless another came first."""
        ...

    def node_registry(self) -> NodeRegistry | None:
        """Who is alive among the nodes; None where there is only one."""
        ...

    def leader_lock(self, name: str, *, silent_seconds: int | None = None) -> LeaderLock:
        """This node's candidature for an office; whoever asks closes it. Who holds it may be silent
        for so long.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
