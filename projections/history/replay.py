"""Plays a range of history: how the jobs of a ledger stood, what failed, what tripped, event by
event.

Nothing here waits or reads a clock: the caller says how much time has passed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ledger.clock import parse_rfc3339
from projections.history.topics import (
    ENDS,
    FAILED,
    IMPORTED,
    LOST,
    MANUAL_RESUMES,
    RECOVERY_TOPICS,
    STARTED,
    STATUS_AFTER,
    SUCCEEDED,
    TRIPPED,
)

Event = Mapping[str, Any]

STATUSES = ("active", "paused", "failed", "completed")

NOTABLE_TOPICS = frozenset((*STATUS_AFTER, LOST, *RECOVERY_TOPICS))
"""Events that get a line of their own; starts, successes and failures of runs are counted."""
SLOWEST, FASTEST = 1.0, 86_400.0
MAX_LINES = 200
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class FleetState:
    """The jobs' statuses and names, which of them run, which of them fail."""

    statuses: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    failures: Counter[datetime] = field(default_factory=Counter)
    """Failures by minute, since the beginning."""
    trip_count: int = 0
    notable_count: int = 0
    notable: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_LINES))

    @classmethod
    def of(cls, jobs: Iterable[Mapping[str, Any]]) -> FleetState:
        """The state of the jobs in a list."""
        fleet = cls()
        for job in jobs:
            job_id = str(job["id"])
            fleet.statuses[job_id], fleet.names[job_id] = job["status"], job["name"]
            if job["open_run"] is not None:
                fleet.running.add(job_id)
            if job["consecutive_errors"] > 0:
                fleet.failing.add(job_id)
        return fleet

    def counts(self) -> Counter[str]:
        """How many jobs have each status."""
        return Counter(self.statuses.values())

    def name(self, job_id: str | None) -> str:
        """The name of a job, as far as it is known."""
        return self.names.get(job_id or "", (job_id or "-")[:8])

    def apply(self, event: Event) -> None:
        """Apply one event."""
        topic, job_id = event["topic"], event["job_id"]
        if topic.startswith("job."):
            self._set_name(job_id, event["data"])
            self._set_status(job_id, topic, event["data"])
            self._set_running(job_id, topic)
            self._set_failing(job_id, topic, event["data"])
        if topic == FAILED:
            at = parse_rfc3339(event["recorded_at"])
            self.failures[at.replace(second=0, microsecond=0)] += 1
        if topic in NOTABLE_TOPICS:
            self.trip_count += topic == TRIPPED
            self.notable_count += 1
            self.notable.append(event)

    def _set_name(self, job_id: str, data: Mapping[str, Any]) -> None:
        name = data.get("name") or data.get("changes", {}).get("name")
        if name:
            self.names[job_id] = name

    def _set_status(self, job_id: str, topic: str, data: Mapping[str, Any]) -> None:
        status = data["status"] if topic == IMPORTED else STATUS_AFTER.get(topic)
        if status == "deleted":
            self.statuses.pop(job_id, None)
            self.failing.discard(job_id)
        elif status:
            self.statuses[job_id] = status

    def _set_running(self, job_id: str, topic: str) -> None:
        if topic == STARTED:
            self.running.add(job_id)
        elif topic in ENDS:
            self.running.discard(job_id)

    def _set_failing(self, job_id: str, topic: str, data: Mapping[str, Any]) -> None:
        """An error of a class that does not count starts no streak."""
        if topic in (FAILED, IMPORTED) and data["consecutive_errors"] > 0:
            self.failing.add(job_id)
        elif topic in (SUCCEEDED, *MANUAL_RESUMES):
            self.failing.discard(job_id)


class Playback:
    """Plays events, given in order, from one instant to another. `now` is the instant played to."""

    def __init__(
        self,
        fleet: FleetState,
        events: Iterator[Event],
        *,
        since: datetime,
        until: datetime,
        speed: float = 60.0,
    ) -> None:
        self.fleet = fleet
        self.since = since
        self.until = until
        self.now = since
        self.speed = min(max(speed, SLOWEST), FASTEST)
        self.is_paused = False
        self.last: Event | None = None
        """The event applied last."""
        self.count = 0
        self._events = events
        self._next = next(events, None)

    @property
    def is_over(self) -> bool:
        return self._next is None and self.now >= self.until

    def advance(self, seconds: float) -> None:
        """Play so many seconds of the viewer's time, times `speed`; nothing while it is paused."""
        if self.is_paused:
            return
        goal = min(self.until, self.now + timedelta(seconds=seconds * self.speed))
        while self._next is not None and _at(self._next) <= goal:
            self._apply_next()
        self.now = max(self.now, goal)

    def step(self) -> None:
        """Apply the next event, and pause."""
        self.is_paused = True
        if self._next is not None:
            self._apply_next()
        else:
            self.now = self.until

    def jump(self) -> None:
        """Skip to the next trip, or to the end when there is none."""
        while self._next is not None:
            if self._apply_next()["topic"] == TRIPPED:
                return
        self.now = self.until

    def toggle_pause(self) -> None:
        self.is_paused = not self.is_paused

    def faster(self) -> None:
        """Double the speed, to at most a day per second."""
        self.speed = min(self.speed * 2, FASTEST)

    def slower(self) -> None:
        """Halve the speed, to at least real time."""
        self.speed = max(self.speed / 2, SLOWEST)

    def failures_by_minute(self, longest: int) -> list[int]:
        """How many runs failed in each minute up to now, for the last so many minutes at most."""
        last = self.now.replace(second=0, microsecond=0)
        first = max(self.since.replace(second=0, microsecond=0), last - (longest - 1) * MINUTE)
        return [
            self.fleet.failures[first + step * MINUTE]
            for step in range((last - first) // MINUTE + 1)
        ]

    def _apply_next(self) -> Event:
        event = self._next
        if event is None:
            raise StopIteration
        self.fleet.apply(event)
        self.last, self.count = event, self.count + 1
        self.now = max(self.now, _at(event))
        self._next = next(self._events, None)
        return event


def _at(event: Event) -> datetime:
    return parse_rfc3339(event["recorded_at"])
