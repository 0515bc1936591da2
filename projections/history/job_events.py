"""One job's events before and after one of them, read as far as a caller iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ledger.store.audit_query import AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent

PAGE = 50
"""Events read at a time."""
MAX_SCANNED = 1000
"""Events read in one direction, whatever their topics: the events of a run are close together."""

Predicate = Callable[[RecordedEvent], bool]


@dataclass(frozen=True, slots=True)
class OfTopics:
    """Events of some topics, and of these only those that match."""

    topics: tuple[str, ...]
    where: Predicate | None = None

    def __call__(self, event: RecordedEvent) -> bool:
        return event.topic in self.topics and (self.where is None or self.where(event))


class JobEvents:
    """The events of a job before and after a version."""

    def __init__(self, events: EventReader, job_id: UUID, version: int) -> None:
        self._events = events
        self._job_id = job_id
        self.version = version

    def at(self, version: int) -> RecordedEvent | None:
        """The event of a version, or None."""
        found = self._read(version - 1, version) if version > 0 else []
        return found[0] if found else None

    def before(self, *topics: str) -> Iterator[RecordedEvent]:
        """From the version back, newest first: the latest `MAX_SCANNED`, or all of some topics."""
        if topics:
            yield from self._before_by_topic(topics)
            return
        last = self.version
        while last > max(0, self.version - MAX_SCANNED):
            first = max(0, last - PAGE)
            yield from reversed(self._read(first, last))
            last = first

    def _before_by_topic(self, topics: tuple[str, ...]) -> Iterator[RecordedEvent]:
        newest = self.at(self.version)
        query = AuditQuery(
            stream=self._job_id,
            topics=topics,
            until_position=newest.position if newest is not None else 0,
            order="desc",
            limit=PAGE,
        )
        for item in self._events.find_all_stored(query):
            yield from self._events.decode([item])

    def after(self) -> Iterator[RecordedEvent]:
        """What came after the version, in order."""
        for first in range(self.version, self.version + MAX_SCANNED, PAGE):
            page = self._read(first, first + PAGE)
            yield from page
            if len(page) < PAGE:
                return

    def last(self, matches: Predicate) -> RecordedEvent | None:
        """The newest event up to the version that matches. One of topics is found at any distance:
        a pause may lie behind a thousand edits.
        """
        near = next((event for event in self.before() if matches(event)), None)
        if near is not None or not isinstance(matches, OfTopics) or self.version <= MAX_SCANNED:
            return near
        return next((event for event in self.before(*matches.topics) if matches(event)), None)

    def next(self, matches: Predicate) -> RecordedEvent | None:
        """The first event after the version that matches."""
        return next((event for event in self.after() if matches(event)), None)

    def _read(self, after: int, upto: int) -> list[RecordedEvent]:
        return self._events.stream(self._job_id, after=after, upto=upto, limit=PAGE)


def of_topics(*topics: str, where: Predicate | None = None) -> OfTopics:
    """Events of these topics, and of these only those that match."""
    return OfTopics(topics, where)
