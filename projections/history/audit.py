"""The audit as every surface asks it: who did what, from the book itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.metadata import ACTOR_KINDS, SOURCES
from ledger.errors import InvalidField
from ledger.store.audit_query import DISPATCHER, AuditQuery
from ledger.store.event_queries import EventQueries, Page
from ledger.store.event_reader import EventReader
from ledger.store.mapper import TOPICS
from projections.filters.as_of import require_stretch
from projections.filters.paging import require_choice


@dataclass(frozen=True, slots=True)
class PositionRange:
    """Recorded at or after `since`, and at or before `until`; None: however early, however late."""

    since: datetime | None = None
    until: datetime | None = None


ALWAYS = PositionRange()


class Audit:
    """Answers from the book of one ledger."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._queries = EventQueries(events)

    def page(self, query: AuditQuery, stretch: PositionRange, *, position: int) -> Page:
        """A page of the events that match, none after a position. Refuses InvalidField."""
        return self._queries.audit(self._within(query, stretch, position))

    def export(
        self, query: AuditQuery, stretch: PositionRange, *, position: int
    ) -> Iterator[dict[str, Any]]:
        """Every event that matches, up to a position, in flat memory. Refuses InvalidField, at
        once.
        """
        return self._queries.export(self._within(query, stretch, position))

    def require_actor(self, name: str | None) -> None:
        """Refuse InvalidField for a name that nobody has."""
        if name not in (None, DISPATCHER) and not self._events.has_actor(name):
            raise InvalidField("actor", "is nobody who has done anything here, and no token's name")

    def require_stream(self, job_id: UUID | None) -> None:
        """Refuse InvalidField for the id of nothing that ever was."""
        if job_id is not None and not self._events.has_event(job_id, 1):
            raise InvalidField("job", "is the id of no job that is here, or was")

    def _within(self, query: AuditQuery, stretch: PositionRange, position: int) -> AuditQuery:
        """What is asked of the book: instants become positions."""
        self._require_sound(query, stretch)
        since, until = stretch.since, stretch.until
        after = 0 if since is None else self._events.position_before(since)
        last = position if until is None else self._events.position_at(until)
        return replace(query, after_position=after, until_position=last)

    def _require_sound(self, query: AuditQuery, stretch: PositionRange) -> None:
        require_choice("kind", query.kind, ACTOR_KINDS)
        require_choice("source", query.source, SOURCES)
        require_choice("failure_class", query.failure_class, FAILURE_CLASSES)
        for topic in query.topics:
            require_choice("topic", topic, TOPICS)
        require_stretch(stretch.since, stretch.until)
        self.require_actor(query.actor)
        self.require_stream(query.stream)
