"""Whether a dispatcher was at work around a position, as far as the events show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from uuid import UUID

from ledger.clock import from_microseconds
from ledger.domain.events import RUN_END_TOPICS, RunLost, RunStarted
from ledger.store.audit_query import DISPATCHER, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent, StoredEvent

MAX_EVENTS = 5000
"""Events searched backwards for open runs; runs that began before are not counted."""
PAGE = 1000


class DispatcherActivity:
    """What dispatchers recorded around a position."""

    def __init__(
        self, events: EventReader, position: int, is_leased: Callable[[str], bool]
    ) -> None:
        """`is_leased` says whether the work of a run is done outside of the ledger's nodes now, so
        that the run needs no node to go on.
        """
        self.is_leased = is_leased
        self._events = events
        self._position = position

    def at(self, instant: datetime) -> DispatcherActivity:
        """The activity around an instant."""
        position = self._events.position_at(instant)
        return DispatcherActivity(self._events, position, self.is_leased)

    def last(self) -> RecordedEvent | None:
        """The last event of a dispatcher up to the position."""
        return self._one(
            AuditQuery(source=DISPATCHER, until_position=self._position, order="desc", limit=1)
        )

    def next(self) -> RecordedEvent | None:
        """The first event of a dispatcher after the position."""
        return self._one(AuditQuery(source=DISPATCHER, after_position=self._position, limit=1))

    def open_runs(self) -> list[tuple[UUID, int]]:
        """The runs that were open at the position: job, and version of the start."""
        seen: set[UUID] = set()
        found: list[tuple[UUID, int]] = []
        for item in self._runs_before():
            stream: UUID = item.originator_id  # type: ignore[assignment]  # ours always are
            if stream not in seen and item.topic == RunStarted.TOPIC:
                found.append((stream, item.originator_version))
            seen.add(stream)
        return found

    def has_finished_one(self, runs: Sequence[tuple[UUID, int]]) -> bool:
        """Whether one of these runs ended other than lost: then a node was alive until its end."""
        for job_id, version in runs:
            later = self._events.stream_stored(job_id, after=version, upto=version + 5, limit=5)
            end = next((item for item in later if item.topic in RUN_END_TOPICS), None)
            if end is not None and end.topic != RunLost.TOPIC:
                return True
        return False

    def _runs_before(self) -> list[StoredEvent]:
        query = AuditQuery(
            topics=(RunStarted.TOPIC, *RUN_END_TOPICS),
            until_position=self._position,
            order="desc",
            limit=PAGE,
        )
        return list(islice(self._events.find_all_stored(query), MAX_EVENTS))

    def _one(self, query: AuditQuery) -> RecordedEvent | None:
        found = self._events.find(query)
        return found[0] if found else None


def when(event: RecordedEvent) -> datetime:
    """When an event was recorded."""
    return from_microseconds(event.recorded_at)
