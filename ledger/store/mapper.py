"""Between event objects and stored events: a closed registry of topics, never an import.

An unknown topic is an error that names its position. The library's own mapper would import any
module that a topic column names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing import persistence as library
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, Notification

from ledger.domain.events import JOB_EVENTS, Event, PositionOf
from ledger.domain.recovery.recovery import (
    RecoveryAborted,
    RecoveryCompleted,
    RecoveryPlanned,
    RecoveryStepped,
)
from ledger.domain.streams.access import AccessRefused
from ledger.domain.streams.idempotency import RequestAnswered
from ledger.domain.streams.names import NameReleased, NameReserved
from ledger.domain.streams.notices import NoticeFailed, NoticeSent
from ledger.domain.streams.tokens import TokenCreated, TokenRevoked
from ledger.errors import CorruptEvent
from ledger.store.codec import Codec, fill_positions, put_texts, shape_of, text_references
from ledger.store.records import PendingEvent, RecordedEvent, StoredEvent

EVENTS: tuple[type[Event], ...] = (
    *JOB_EVENTS,
    NameReserved,
    NameReleased,
    RequestAnswered,
    TokenCreated,
    TokenRevoked,
    NoticeSent,
    NoticeFailed,
    AccessRefused,
    RecoveryPlanned,
    RecoveryStepped,
    RecoveryAborted,
    RecoveryCompleted,
)
TOPICS: Mapping[str, type[Event]] = {event_class.TOPIC: event_class for event_class in EVENTS}
"""The closed registry: every topic the ledger can read or write."""

TextLookup = Callable[[Sequence[str]], Mapping[str, str]]


class EventMapper(Mapper[UUID]):
    """Prepares events for the append, and reads them back with their texts."""

    def __init__(self, codec: Codec, texts: TextLookup) -> None:
        super().__init__(transcoder=codec.json)
        self.codec = codec
        self.texts = texts

    # -- to stored events --------------------------------------------------------------------------

    def pending_event(self, event: Event) -> PendingEvent:
        """The event as it will be stored. Refuses (InvalidField) values that would not be read back
        equal.
        """
        plain, texts = self.codec.split(event)
        is_waiting = _waits_for_positions(event)
        return PendingEvent(
            event=event,
            stream=event.originator_id,
            version=event.originator_version,
            topic=event.TOPIC,
            plain=plain,
            state=None if is_waiting else self.codec.json.encode(plain),
            texts=tuple(texts),
        )

    def seal(self, pending: PendingEvent, positions: Mapping[tuple[UUID, int], int]) -> bytes:
        """The bytes to store, once the positions of the append are known."""
        if pending.state is not None:
            return pending.state
        plain = dict(pending.plain)
        fill_positions(type(pending.event), plain, positions)
        return self.codec.json.encode(plain)

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> library.StoredEvent:
        """As the library asks for it; without the free text."""
        if not isinstance(domain_event, Event):
            raise TypeError(f"{type(domain_event).__name__} is not an event of this ledger")
        pending = self.pending_event(domain_event)
        return library.StoredEvent(
            pending.stream, pending.version, pending.topic, self.seal(pending, {})
        )

    # -- from stored events ------------------------------------------------------------------------

    def to_domain_event(self, stored_event: library.StoredEvent) -> Event:
        """One event object. Raises CorruptEvent, with the position where it is known."""
        return self.to_domain_events([stored_event])[0]

    def to_domain_events(self, stored: Sequence[library.StoredEvent]) -> list[Event]:
        """The event objects of a page; all their texts are read at once."""
        decoded = [self._decode(item) for item in stored]
        bodies = self._bodies(decoded)
        return [
            self._restore(item, pair, bodies) for item, pair in zip(stored, decoded, strict=True)
        ]

    def to_recorded_events(self, stored: Sequence[StoredEvent]) -> list[RecordedEvent]:
        """The plain events of a page, for readers that need no objects."""
        decoded = [self._decode(item) for item in stored]
        bodies = self._bodies(decoded)
        recorded = []
        for item, (event_class, state) in zip(stored, decoded, strict=True):
            put_texts(shape_of(event_class).texts, state, bodies)
            stream: UUID = item.originator_id  # type: ignore[assignment]  # ours always are
            recorded.append(
                RecordedEvent(
                    item.id, item.topic, stream, item.originator_version, item.recorded_at, state
                )
            )
        return recorded

    def _decode(self, stored: library.StoredEvent) -> tuple[type[Event], dict[str, Any]]:
        position = stored.id if isinstance(stored, Notification) else None
        event_class = TOPICS.get(stored.topic)
        if event_class is None:
            raise CorruptEvent(
                position, f"its topic {stored.topic[:80]!r} is not known to this version"
            )
        try:
            state = self.codec.json.decode(stored.state)
            upcast(event_class, state)
            missing = sorted(shape_of(event_class).fields - state.keys())
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptEvent(position, f"its stored state cannot be decoded ({error})") from None
        if missing:
            raise CorruptEvent(position, f"it lacks {', '.join(missing)}")
        return event_class, state

    def _bodies(self, decoded: Iterable[tuple[type[Event], dict[str, Any]]]) -> Mapping[str, str]:
        wanted = [
            text_id
            for event_class, state in decoded
            for text_id, _ in text_references(shape_of(event_class).texts, state)
        ]
        return self.texts(wanted) if wanted else {}

    def _restore(
        self,
        stored: library.StoredEvent,
        pair: tuple[type[Event], dict[str, Any]],
        bodies: Mapping[str, str],
    ) -> Event:
        event_class, state = pair
        fields = self.codec.join(event_class, state, bodies)
        fields["originator_id"] = stored.originator_id
        fields["originator_version"] = stored.originator_version
        event = object.__new__(event_class)
        object.__setattr__(event, "__dict__", fields)
        return event


def upcast(event_class: type[Event], state: dict[str, Any]) -> None:
    """Migrate an older stored state to the class's present version, step by step."""
    stored_version = state.pop("class_version", 1)
    if stored_version > event_class.class_version:
        raise ValueError(f"its version is {stored_version}, which a newer release wrote")
    for version in range(stored_version, event_class.class_version):
        getattr(event_class, f"upcast_v{version}_v{version + 1}")(state)


def _waits_for_positions(event: Event) -> bool:
    values = (getattr(event, name) for name in event.POSITIONS)
    return any(isinstance(value, PositionOf | list) for value in values)
