"""The audit: who did what, and when, from the events themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.domain.event_context import ACTOR_KINDS, SOURCES
from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.errors import InvalidField
from ledger.store.audit_query import DISPATCHER, AuditQuery
from ledger.store.event_queries import EventQueries, Page
from ledger.store.event_reader import EventReader
from ledger.store.mapper import TOPICS
from projections.filters.paging import require_choice, require_time_range


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Recorded at or after `since`, and at or before `until`; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None


ALL_TIME = TimeRange()


class Audit:
    """Pages and exports of the events of one ledger that match."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._queries = EventQueries(events)

    def page(self, query: AuditQuery, time_range: TimeRange, *, position: int) -> Page:
        """A page of the events that match, none after a position. Raises InvalidField."""
        return self._queries.audit(self._bounded(query, time_range, position))

    def export(
        self, query: AuditQuery, time_range: TimeRange, *, position: int
    ) -> Iterator[dict[str, Any]]:
        """Every event that matches, up to a position, in flat memory. Raises InvalidField, before
        the first event.
        """
        return self._queries.export(self._bounded(query, time_range, position))

    def require_actor(self, name: str | None) -> None:
        """Raise InvalidField for the name of no event's actor and no token."""
        if name not in (None, DISPATCHER) and not self._events.has_actor(name):
            raise InvalidField("actor", "is unknown: no event and no token has this name")

    def require_stream(self, job_id: UUID | None) -> None:
        """Raise InvalidField for the id of no job, deleted ones included."""
        if job_id is not None and not self._events.has_event(job_id, 1):
            raise InvalidField("job", "is not the id of a job, present or deleted")

    def _bounded(self, query: AuditQuery, time_range: TimeRange, position: int) -> AuditQuery:
        """The query between positions instead of instants."""
        self._require_sound(query, time_range)
        since, until = time_range.since, time_range.until
        after = 0 if since is None else self._events.position_before(since)
        last = position if until is None else self._events.position_at(until)
        return replace(query, after_position=after, until_position=last)

    def _require_sound(self, query: AuditQuery, time_range: TimeRange) -> None:
        require_choice("kind", query.kind, ACTOR_KINDS)
        require_choice("source", query.source, SOURCES)
        require_choice("failure_class", query.failure_class, FAILURE_CLASSES)
        for topic in query.topics:
            require_choice("topic", topic, TOPICS)
        require_time_range(time_range.since, time_range.until)
        self.require_actor(query.actor)
        self.require_stream(query.stream)
