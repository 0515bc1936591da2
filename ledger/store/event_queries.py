"""Questions answered from the book itself: one job, its history, the audit. They cannot disagree
with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from ledger.clock import rfc3339
from ledger.domain.aggregate import EPOCH, Stream
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.errors import CorruptEvent, JobNotFound
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_store import EventStore
from ledger.store.mapper import TOPICS, EventMapper
from ledger.store.records import RecordedEvent

S = TypeVar("S", bound=Stream)
PAGE = 2000

COMMON = ("timestamp", "command_id", "actor", "source", "correlation_id", "reason")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of events, the cursor of the next (None at the end), and the book's last position
    when it was read.
    """

    events: list[dict[str, Any]]
    following: int | None
    position: int


class EventQueries:
    """The book's own answers."""

    def __init__(self, event_store: EventStore, mapper: EventMapper) -> None:
        self._event_store = event_store
        self._mapper = mapper

    def audit(self, query: AuditQuery) -> Page:
        """One page of the events that match."""
        size = min(query.limit, MAX_PAGE)
        position = self._event_store.tail_position()
        found = self._event_store.find(replace(query, limit=size + 1))
        facts = self._mapper.to_recorded_events(found[:size])
        following = facts[-1].position if len(found) > size else None
        return Page([event_view(fact) for fact in facts], following, position)

    def export(self, query: AuditQuery) -> Iterator[dict[str, Any]]:
        """Every event that matches, page by page, in flat memory."""
        cursor: int | None = query.cursor
        while True:
            page = self.audit(replace(query, cursor=cursor, limit=MAX_PAGE))
            yield from page.events
            if page.following is None:
                return
            cursor = page.following

    def position_at(self, instant: datetime) -> int:
        """The last position recorded at or before an instant."""
        return self._event_store.position_at(microseconds(instant))

    def recorded_at(self, position: int) -> datetime:
        """When the event at a position was recorded; the epoch for position 0."""
        found = self._event_store.read(after=position - 1, limit=1) if position else []
        return from_microseconds(found[0].recorded_at if found else 0)

    def job(self, job_id: UUID) -> dict[str, Any]:
        """One job as the book has it now. JobNotFound when unknown or deleted."""
        job = fold_stream(self._event_store, self._mapper, Job.blank(job_id))
        if job.version == 0 or job.status == "deleted":
            raise JobNotFound(job_id)
        return view(job)

    def job_at(self, job_id: UUID, version: int) -> dict[str, Any]:
        """One job as it was at a version of its stream."""
        return view(fold_stream(self._event_store, self._mapper, Job.blank(job_id), upto=version))

    def history(self, job_id: UUID) -> list[dict[str, Any]]:
        """Every event of a job, oldest first. JobNotFound when there is none."""
        events = list(self.export(AuditQuery(stream=job_id)))
        if not events:
            raise JobNotFound(job_id)
        return events


def fold_stream(
    event_store: EventStore, mapper: EventMapper, blank: S, *, upto: int | None = None
) -> S:
    """Fold a stream from the book onto a blank aggregate, up to a version."""
    while page := event_store.stream(blank.id, after=blank.version, upto=upto, limit=PAGE):
        for recorded, event in zip(page, mapper.to_domain_events(page), strict=True):
            if event.originator_version != blank.version + 1:
                raise CorruptEvent(
                    recorded.id, f"version {blank.version + 1} of its stream is missing"
                )
            event.mutate(blank)
            if isinstance(blank, Job):
                blank.locate(event.originator_version, recorded.id)
    return blank


def event_view(fact: RecordedEvent) -> dict[str, Any]:
    """An event as every surface shows it (DESIGN §11)."""
    event_class = TOPICS[fact.topic]
    return {
        "position": fact.position,
        "topic": fact.topic,
        "event_version": event_class.class_version,
        "job_id": str(fact.stream) if fact.topic.startswith("job.") else fact.data.get("job_id"),
        "version": fact.version,
        "recorded_at": rfc3339(from_microseconds(fact.recorded_at)),
        **{name: fact.data[name] for name in COMMON},
        "data": {name: value for name, value in fact.data.items() if name not in COMMON},
    }


def microseconds(instant: datetime) -> int:
    """µs since the epoch."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The instant so many µs after the epoch, in UTC."""
    return EPOCH.astimezone(UTC) + timedelta(microseconds=count)
