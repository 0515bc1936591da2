"""One job's events around one of them, read as far back or on as somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ledger.store.audit_query import AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent

AT_ONCE = 50
"""Events read at a time."""
FARTHEST = 1000
"""Events looked at in one direction, whatever their topics: what a run left stands near it."""

Fits = Callable[[RecordedEvent], bool]


@dataclass(frozen=True, slots=True)
class OfTopics:
    """Events of some topics, and of these perhaps only some."""

    topics: tuple[str, ...]
    where: Fits | None = None

    def __call__(self, fact: RecordedEvent) -> bool:
        return fact.topic in self.topics and (self.where is None or self.where(fact))


class JobEvents:
    """The events of a job before and after a version."""

    def __init__(self, events: EventReader, job_id: UUID, version: int) -> None:
        self._events = events
        self._job_id = job_id
        self.version = version

    def at(self, version: int) -> RecordedEvent | None:
        """The event of a version, or None when there is none."""
        found = self._read(version - 1, version) if version > 0 else []
        return found[0] if found else None

    def back(self, *topics: str) -> Iterator[RecordedEvent]:
        """From the version back, the newest first: what stands near, or of these topics all."""
        if topics:
            yield from self._back_by_topic(topics)
            return
        last = self.version
        while last > max(0, self.version - FARTHEST):
            first = max(0, last - AT_ONCE)
            yield from reversed(self._read(first, last))
            last = first

    def _back_by_topic(self, topics: tuple[str, ...]) -> Iterator[RecordedEvent]:
        newest = self.at(self.version)
        query = AuditQuery(
            stream=self._job_id,
            topics=topics,
            until_position=newest.position if newest is not None else 0,
            order="desc",
            limit=AT_ONCE,
        )
        for item in self._events.find_all_stored(query):
            yield from self._events.decode([item])

    def on(self) -> Iterator[RecordedEvent]:
        """What came after the version, in order."""
        for first in range(self.version, self.version + FARTHEST, AT_ONCE):
            page = self._read(first, first + AT_ONCE)
            yield from page
            if len(page) < AT_ONCE:
                return

    def last(self, fits: Fits) -> RecordedEvent | None:
        """The newest event up to the version that fits. One of topics is found however far it is: a
        pause may lie behind a thousand edits.
        """
        near = next((fact for fact in self.back() if fits(fact)), None)
        if near is not None or not isinstance(fits, OfTopics) or self.version <= FARTHEST:
            return near
        return next((fact for fact in self.back(*fits.topics) if fits(fact)), None)

    def next(self, fits: Fits) -> RecordedEvent | None:
        """The first event after the version that fits."""
        return next((fact for fact in self.on() if fits(fact)), None)

    def _read(self, after: int, upto: int) -> list[RecordedEvent]:
        return self._events.stream(self._job_id, after=after, upto=upto, limit=AT_ONCE)


def of(*topics: str, where: Fits | None = None) -> OfTopics:
    """Events of these topics, and of these the ones that fit."""
    return OfTopics(topics, where)
