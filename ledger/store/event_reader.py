"""Events of an event store, decoded: the read interface for everything outside the write path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import TypeVar
from uuid import UUID

from ledger.clock import from_microseconds, microseconds
from ledger.domain.aggregate import Stream
from ledger.domain.events import Event
from ledger.domain.job.job import Job
from ledger.errors import CorruptEvent
from ledger.store.audit_query import AuditQuery
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper
from ledger.store.records import RecordedEvent, StoredEvent

S = TypeVar("S", bound=Stream)
PAGE = 2000
"""Events of a stream that are read at a time while it is folded."""


class EventReader:
    """Reads one event store, from any thread. Methods that say *stored* leave events undecoded, for
    callers that need only their topic, version or position.
    """

    def __init__(self, event_store: EventStore, mapper: EventMapper) -> None:
        self._event_store = event_store
        self._mapper = mapper

    # -- events ---------------------------------------------------------------------------------

    def read(self, *, after: int, limit: int) -> list[RecordedEvent]:
        """Up to `limit` events with positions above `after`, in order."""
        return self.decode(self.read_stored(after=after, limit=limit))

    def read_stored(self, *, after: int, limit: int) -> list[StoredEvent]:
        return self._event_store.read(after=after, limit=limit)

    def stream(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[RecordedEvent]:
        """Up to `limit` events of one stream with versions above `after`, at most `upto`."""
        return self.decode(self.stream_stored(stream, after=after, upto=upto, limit=limit))

    def stream_stored(
        self, stream: UUID, *, after: int, upto: int | None, limit: int
    ) -> list[StoredEvent]:
        return self._event_store.stream(stream, after=after, upto=upto, limit=limit)

    def find(self, query: AuditQuery) -> list[RecordedEvent]:
        """One page of the events that match."""
        return self.decode(self._event_store.find(query))

    def find_all(self, query: AuditQuery) -> Iterator[RecordedEvent]:
        """Every event that matches, decoded `query.limit` at a time, in constant memory."""
        for page in self._pages(query):
            yield from self.decode(page)

    def find_all_stored(self, query: AuditQuery) -> Iterator[StoredEvent]:
        return chain.from_iterable(self._pages(query))

    def _pages(self, query: AuditQuery) -> Iterator[list[StoredEvent]]:
        while True:
            page = self._event_store.find(query)
            yield page
            if len(page) < query.limit:
                return
            query = query.following(page[-1].id)

    def decode(self, stored: Sequence[StoredEvent]) -> list[RecordedEvent]:
        """The plain fields of events; all their texts are read at once. Raises CorruptEvent."""
        return self._mapper.to_recorded_events(stored)

    def domain_events(self, stored: Sequence[StoredEvent]) -> list[Event]:
        """Events as objects for aggregates; all their texts are read at once. Raises
        CorruptEvent.
        """
        return self._mapper.to_domain_events(stored)

    def fold(self, blank: S, *, upto: int | None = None) -> S:
        """Fold a stream onto a blank aggregate, up to a version. Raises CorruptEvent."""
        while page := self.stream_stored(blank.id, after=blank.version, upto=upto, limit=PAGE):
            for stored, event in zip(page, self.domain_events(page), strict=True):
                if event.originator_version != blank.version + 1:
                    raise CorruptEvent(
                        stored.id, f"version {blank.version + 1} of its stream is missing"
                    )
                event.mutate(blank)
                if isinstance(blank, Job):
                    blank.locate(event.originator_version, stored.id)
        return blank

    # -- positions ------------------------------------------------------------------------------

    def tail_position(self) -> int:
        """The last committed position; 0 when there is none."""
        return self._event_store.tail_position()

    def position_at(self, instant: datetime) -> int:
        """The last position recorded at or before an instant; 0 when there is none."""
        return self._event_store.position_at(microseconds(instant))

    def position_before(self, instant: datetime) -> int:
        """The last position recorded before an instant; 0 when there is none."""
        return self._event_store.position_at(microseconds(instant) - 1)

    def recorded_at(self, position: int) -> datetime:
        """When the event at a position was recorded; the epoch for position 0."""
        found = self.read_stored(after=position - 1, limit=1) if position else []
        return from_microseconds(found[0].recorded_at if found else 0)

    def first_recorded_at(self) -> datetime | None:
        """When the first event was recorded; None while there is none."""
        found = self.read_stored(after=0, limit=1)
        return from_microseconds(found[0].recorded_at) if found else None

    # -- existence ------------------------------------------------------------------------------

    def has_event(self, stream: UUID, version: int) -> bool:
        """Whether a stream has a version."""
        return self._event_store.command_at(stream, version) is not None

    def has_actor(self, name: str) -> bool:
        """Whether a token or an event has an actor's name."""
        if any(token.name == name for token in self._event_store.tokens()):
            return True
        return bool(self._event_store.find(AuditQuery(actor=name, limit=1)))
