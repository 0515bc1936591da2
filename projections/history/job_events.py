"""One job's events around one of them, read as far back or on as somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from ledger.application.ledger import Ledger
from ledger.store.audit_query import AuditQuery
from ledger.store.audit_search import all_found
from ledger.store.records import Fact

AT_ONCE = 50
"""Events read at a time."""
FARTHEST = 1000
"""Events looked at in one direction, whatever their topics: what a run left stands near it."""

Fits = Callable[[Fact], bool]


@dataclass(frozen=True, slots=True)
class OfTopics:
    """Events of some topics, and of these perhaps only some."""

    topics: tuple[str, ...]
    where: Fits | None = None

    def __call__(self, fact: Fact) -> bool:
        return fact.topic in self.topics and (self.where is None or self.where(fact))


class Trail:
    """The events of a job before and after a version."""

    def __init__(self, ledger: Ledger, job_id: UUID, version: int) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self.version = version

    def at(self, version: int) -> Fact | None:
        """The event of a version, or None when there is none."""
        found = self._read(version - 1, version) if version > 0 else []
        return found[0] if found else None

    def back(self, *topics: str) -> Iterator[Fact]:
        """From the version back, the newest first: what stands near, or of these topics all."""
        if topics:
            yield from self._back_by_topic(topics)
            return
        last = self.version
        while last > max(0, self.version - FARTHEST):
            first = max(0, last - AT_ONCE)
            yield from reversed(self._read(first, last))
            last = first

    def _back_by_topic(self, topics: tuple[str, ...]) -> Iterator[Fact]:
        newest = self.at(self.version)
        query = AuditQuery(
            stream=self._job_id,
            topics=topics,
            until_position=newest.position if newest is not None else 0,
            order="desc",
            limit=AT_ONCE,
        )
        for item in all_found(self._ledger.book, query):
            yield from self._ledger.mapper.to_facts([item])

    def on(self) -> Iterator[Fact]:
        """What came after the version, in order."""
        for first in range(self.version, self.version + FARTHEST, AT_ONCE):
            page = self._read(first, first + AT_ONCE)
            yield from page
            if len(page) < AT_ONCE:
                return

    def last(self, fits: Fits) -> Fact | None:
        """The newest event up to the version that fits. One of topics is found however far it is: a
        pause may lie behind a thousand edits.
        """
        near = next((fact for fact in self.back() if fits(fact)), None)
        if near is not None or not isinstance(fits, OfTopics) or self.version <= FARTHEST:
            return near
        return next((fact for fact in self.back(*fits.topics) if fits(fact)), None)

    def next(self, fits: Fits) -> Fact | None:
        """The first event after the version that fits."""
        return next((fact for fact in self.on() if fits(fact)), None)

    def _read(self, after: int, upto: int) -> list[Fact]:
        found = self._ledger.book.stream(self._job_id, after=after, upto=upto, limit=AT_ONCE)
        return self._ledger.mapper.to_facts(found)


def of(*topics: str, where: Fits | None = None) -> OfTopics:
    """Events of these topics, and of these the ones that fit."""
    return OfTopics(topics, where)
