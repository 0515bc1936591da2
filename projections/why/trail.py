"""One job's events around one of them, read as far back or on as somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

from ledger.store.application import Ledger
from ledger.store.records import Fact

AT_ONCE = 50
"""Events read at a time."""
FARTHEST = 1000
"""Events looked at in one direction: what explains a state stands near it."""

Fits = Callable[[Fact], bool]


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

    def back(self) -> Iterator[Fact]:
        """From the version back, the newest first."""
        last = self.version
        while last > max(0, self.version - FARTHEST):
            first = max(0, last - AT_ONCE)
            yield from reversed(self._read(first, last))
            last = first

    def on(self) -> Iterator[Fact]:
        """What came after the version, in order."""
        for first in range(self.version, self.version + FARTHEST, AT_ONCE):
            page = self._read(first, first + AT_ONCE)
            yield from page
            if len(page) < AT_ONCE:
                return

    def last(self, fits: Fits) -> Fact | None:
        """The newest event up to the version that fits."""
        return next((fact for fact in self.back() if fits(fact)), None)

    def next(self, fits: Fits) -> Fact | None:
        """The first event after the version that fits."""
        return next((fact for fact in self.on() if fits(fact)), None)

    def _read(self, after: int, upto: int) -> list[Fact]:
        found = self._ledger.book.stream(self._job_id, after=after, upto=upto, limit=AT_ONCE)
        return self._ledger.mapper.to_facts(found)


def of(*topics: str) -> Fits:
    """Events of these topics."""
    return lambda fact: fact.topic in topics
