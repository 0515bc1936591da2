"""The progress of a recovery, read from events: its own ones, and the outcomes of the jobs it
resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from ledger.domain.recovery.recovery import (
    RESUMED,
    Recovery,
    RecoveryNotFound,
    recovery_name,
    recovery_stream,
)
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent, StoredEvent

TRIPPED = "job.circuit_tripped"
SUCCEEDED = "job.run_succeeded"
DECISIVE = frozenset(
    {
        SUCCEEDED, TRIPPED, "job.run_failed", "job.run_lost", "job.run_blocked", "job.paused",
        "job.completed", "job.deleted",
    }
)  # fmt: skip
"""The topics that show how the first run of a resumed job went, or that there will be none."""
ENDS = ("recovery.aborted", "recovery.completed")
A_FEW = 10


@dataclass(slots=True)
class RecoveryHistory:
    """A recovery as of one position."""

    recovery: Recovery
    planned: RecordedEvent
    steps: list[RecordedEvent] = field(default_factory=list)
    end: RecordedEvent | None = None

    @property
    def resumed(self) -> dict[UUID, RecordedEvent]:
        """The steps that resumed a job."""
        resumed = (step for step in self.steps if step.data["outcome"] == RESUMED)
        return {UUID(step.data["job_id"]): step for step in resumed}


class RecoveryReader:
    """Reads recoveries from an event store; `until` is the last position that counts."""

    def __init__(self, events: EventReader) -> None:
        self._events = events

    def history(self, number: int, until: int) -> RecoveryHistory:
        """A recovery as it was; RecoveryNotFound when it was not planned yet."""
        recovery = Recovery.blank(recovery_stream(number))
        history: RecoveryHistory | None = None
        for event in self.apply_events(recovery, until):
            if history is None:
                history = RecoveryHistory(recovery, event)
            elif event.topic in ENDS:
                history.end = event
            else:
                history.steps.append(event)
        if history is None:
            raise RecoveryNotFound(recovery_name(number))
        return history

    def apply_events(self, recovery: Recovery, until: int | None) -> Iterator[RecordedEvent]:
        while page := self._events.stream_stored(
            recovery.id, after=recovery.version, upto=None, limit=MAX_PAGE
        ):
            fitting = [item for item in page if until is None or item.id <= until]
            recorded = self._events.decode(fitting)
            for event, own in zip(recorded, self._events.domain_events(fitting), strict=True):
                own.mutate(recovery)
                yield event
            if len(fitting) < len(page):
                return

    def trips(
        self, resumed: Mapping[UUID, RecordedEvent], after: int, until: int
    ) -> dict[UUID, RecordedEvent]:
        """Of the resumed jobs, the first trip of each after its resume."""
        trips: dict[UUID, RecordedEvent] = {}
        if not resumed or after >= until:
            return trips
        query = AuditQuery(
            topics=(TRIPPED,), after_position=after, until_position=until, limit=MAX_PAGE
        )
        ours = [
            item for item in self._events.find_all_stored(query) if item.originator_id in resumed
        ]
        for event in self._events.decode(ours):
            if event.position > resumed[event.stream].position:
                trips.setdefault(event.stream, event)
        return trips

    def first_outcome(self, step: RecordedEvent, until: int) -> RecordedEvent | None:
        """The event that shows how a resumed job's first run went, or that there is none; None
        while there is no such event.
        """
        found = self._first_outcome(step, until)
        return None if found is None else self._events.decode([found])[0]

    def first_outcomes(
        self, resumed: Mapping[UUID, RecordedEvent], until: int
    ) -> dict[UUID, RecordedEvent]:
        """The same for all resumed jobs that have one: one query for each job."""
        outcomes = (self._first_outcome(step, until) for step in resumed.values())
        found = [item for item in outcomes if item is not None]
        return {event.stream: event for event in self._events.decode(found)}

    def _first_outcome(self, step: RecordedEvent, until: int) -> StoredEvent | None:
        job_id, version = UUID(step.data["job_id"]), step.data["job_version"]
        while page := self._events.stream_stored(job_id, after=version, upto=None, limit=A_FEW):
            for item in page:
                if item.id > until:
                    return None
                if item.topic in DECISIVE:
                    return item
            version = page[-1].originator_version
        return None

    def numbers(self, before: int | None, limit: int, until: int) -> list[tuple[int, int]]:
        """Recoveries with the positions of their plans, the newest first, planned before a position
        (None: up to `until`).
        """
        query = AuditQuery(
            topics=("recovery.planned",),
            order="desc",
            cursor=before,
            until_position=until,
            limit=limit,
        )
        recorded = self._events.find(query)
        return [
            (int(event.data["recovery_id"].removeprefix("R-")), event.position)
            for event in recorded
        ]
