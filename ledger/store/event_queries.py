"""Queries that events alone answer, as JSON-plain values: audit pages, a job, its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, rfc3339
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.errors import JobNotFound
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.mapper import TOPICS
from ledger.store.records import RecordedEvent

COMMON = ("timestamp", "command_id", "actor", "source", "correlation_id", "reason")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of events, the cursor of the next (None at the end), and the last committed position
    when it was read.
    """

    events: list[dict[str, Any]]
    following: int | None
    position: int


class EventQueries:
    """Answers from the events of one ledger."""

    def __init__(self, events: EventReader) -> None:
        self._events = events

    def audit(self, query: AuditQuery) -> Page:
        """One page of the events that match."""
        size = min(query.limit, MAX_PAGE)
        position = self._events.tail_position()
        found = self._events.find(replace(query, limit=size + 1))
        page = found[:size]
        following = page[-1].position if len(found) > size else None
        return Page([event_view(event) for event in page], following, position)

    def export(self, query: AuditQuery) -> Iterator[dict[str, Any]]:
        """Every event that matches, in constant memory."""
        return map(event_view, self._events.find_all(replace(query, limit=MAX_PAGE)))

    def job(self, job_id: UUID) -> dict[str, Any]:
        """One job as it is now. Raises JobNotFound when it is unknown or deleted."""
        job = self._events.fold(Job.blank(job_id))
        if job.version == 0 or job.status == "deleted":
            raise JobNotFound(job_id)
        return view(job)

    def job_at(self, job_id: UUID, version: int) -> dict[str, Any]:
        """One job as it was at a version of its stream."""
        return view(self._events.fold(Job.blank(job_id), upto=version))

    def history(self, job_id: UUID) -> list[dict[str, Any]]:
        """Every event of a job, oldest first. Raises JobNotFound when there is none."""
        events = list(self.export(AuditQuery(stream=job_id)))
        if not events:
            raise JobNotFound(job_id)
        return events


def event_view(event: RecordedEvent) -> dict[str, Any]:
    """An event as the API, exports and streams show it (docs/reference/http.md)."""
    return {
        "position": event.position,
        "topic": event.topic,
        "event_version": TOPICS[event.topic].class_version,
        "job_id": str(event.stream) if event.topic.startswith("job.") else event.data.get("job_id"),
        "version": event.version,
        "recorded_at": rfc3339(from_microseconds(event.recorded_at)),
        **{name: event.data[name] for name in COMMON},
        "data": {name: value for name, value in event.data.items() if name not in COMMON},
    }
