"""Whether anybody dispatched around a position, as far as the book shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from uuid import UUID

from ledger.clock import from_microseconds
from ledger.store.audit_query import DISPATCHER, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent, StoredEvent

STARTED = "job.run_started"
ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")
LOOK_BACK = 5000
"""Events looked at for runs that were under way: those that began before are not counted."""
AT_ONCE = 1000


class DispatcherActivity:
    """The traces of dispatchers in the book, around a position."""

    def __init__(
        self, events: EventReader, position: int, is_leased: Callable[[str], bool]
    ) -> None:
        """`is_leased` says of a run whether its work is done elsewhere now, so that it needs no
        node to live.
        """
        self.is_leased = is_leased
        self._events = events
        self._position = position

    def at(self, instant: datetime) -> DispatcherActivity:
        """The traces around what was the last position at an instant."""
        return DispatcherActivity(self._events, self._events.position_at(instant), self.is_leased)

    def last(self) -> RecordedEvent | None:
        """The last thing that a dispatcher did up to the position."""
        asked = AuditQuery(source=DISPATCHER, until_position=self._position, order="desc", limit=1)
        return self._one(asked)

    def next(self) -> RecordedEvent | None:
        """The first thing that a dispatcher did after the position."""
        return self._one(AuditQuery(source=DISPATCHER, after_position=self._position, limit=1))

    def open_runs(self) -> list[tuple[UUID, int]]:
        """The runs that were under way at the position: job, and version of the start."""
        seen: set[UUID] = set()
        found: list[tuple[UUID, int]] = []
        for item in self._back():
            stream: UUID = item.originator_id  # type: ignore[assignment]  # ours always are
            if stream not in seen and item.topic == STARTED:
                found.append((stream, item.originator_version))
            seen.add(stream)
        return found

    def ended_well(self, runs: Sequence[tuple[UUID, int]]) -> bool:
        """Whether the book shows that one of these runs was held to its end: then a node was
        alive meanwhile.
        """
        for job_id, version in runs:
            later = self._events.stream_stored(job_id, after=version, upto=version + 5, limit=5)
            end = next((item for item in later if item.topic in ENDS), None)
            if end is not None and end.topic != "job.run_lost":
                return True
        return False

    def _back(self) -> list[StoredEvent]:
        asked = AuditQuery(
            topics=(STARTED, *ENDS), until_position=self._position, order="desc", limit=AT_ONCE
        )
        return list(islice(self._events.find_all_stored(asked), LOOK_BACK))

    def _one(self, asked: AuditQuery) -> RecordedEvent | None:
        found = self._events.find(asked)
        return found[0] if found else None


def when(fact: RecordedEvent) -> datetime:
    """When an event was recorded."""
    return from_microseconds(fact.recorded_at)
