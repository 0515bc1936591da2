"""What every stream has in common: it starts blank, decides, and evolves by its events."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Self
from uuid import UUID

from eventsourcing.domain import BaseAggregate

from ledger.clock import EPOCH
from ledger.domain.event_context import EventContext
from ledger.domain.events import Event


class Stream(BaseAggregate[UUID]):
    """An aggregate that begins empty at version 0; its first event is recorded like any other.

    The library's created-events carry the path of a class in their payload and resolve it by import
    on every load; starting blank needs neither.
    """

    @classmethod
    def blank(cls, stream_id: UUID) -> Self:
        """The state before the first event."""
        stream = cls.__new__(cls)
        stream.__base_init__(stream_id, 0, EPOCH)
        stream.begin()
        return stream

    @classmethod
    def fold(cls, stream_id: UUID, events: Iterable[Event]) -> Self:
        """The state after `events`, which must be the stream's own, in order, from version 1."""
        stream = cls.blank(stream_id)
        for event in events:
            event.mutate(stream)
        return stream

    @property
    def pending(self) -> list[Event]:
        """The events that were decided and are not appended yet."""
        return self.pending_events  # type: ignore[return-value]

    def begin(self) -> None:
        """Set the attributes of the blank state."""

    def evolve(self, event: Event) -> None:
        """Apply an event. Never refuses one: history has happened."""

    def record(self, event_class: type[Event], context: EventContext, **fields: object) -> None:
        """Add one decided event to the pending ones, and evolve by it."""
        event = event_class(
            originator_id=self.id,
            originator_version=self.version + 1,
            timestamp=context.now,
            **context.fields(),
            **fields,
        )
        event.mutate(self)
        self.pending_events.append(event)


for _name in ("id", "version", "pending_events"):
    # The library's properties, read without a call of Python: one run reads them forty times.
    _property = property(attrgetter(f"_{_name}"), getattr(BaseAggregate, _name).fset)
    setattr(Stream, _name, _property)
