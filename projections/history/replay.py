"""A stretch of history played again: where the fleet's jobs stood, what failed, what tripped.

Nothing here waits or looks at a clock: whoever plays says how much time has passed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ledger.clock import parse_rfc3339

Event = Mapping[str, Any]

STATUSES = ("active", "paused", "failed", "completed")
MADE = {
    "job.scheduled": "active",
    "job.paused": "paused",
    "job.resumed": "active",
    "job.force_resumed": "active",
    "job.circuit_closed": "active",
    "job.circuit_tripped": "failed",
    "job.completed": "completed",
    "job.deleted": None,
}
"""What a topic makes of a job's status; an import brings its own."""
STARTED, FAILED, TRIPPED = "job.run_started", "job.run_failed", "job.circuit_tripped"
IMPORTED = "job.imported"
ENDS = ("job.run_succeeded", FAILED, "job.run_lost", "job.run_blocked")
DEEDS = frozenset({"recovery.planned", "recovery.aborted", "recovery.completed"})
LOUD = frozenset(MADE) | {"job.run_lost"} | DEEDS
"""What is worth a line of its own; runs that start, succeed or fail are counted."""
SLOWEST, FASTEST = 1.0, 86_400.0
KEPT_LINES = 200
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Board:
    """Where the jobs stand: by status, how many run, how many fail. `names` are those of jobs."""

    statuses: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    failures: Counter[datetime] = field(default_factory=Counter)
    """Failures by minute, since the beginning."""
    trip_count: int = 0
    loud_count: int = 0
    loud: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    @classmethod
    def of(cls, jobs: Iterable[Mapping[str, Any]]) -> Board:
        """The board as the jobs of a list stand."""
        board = cls()
        for job in jobs:
            job_id = str(job["id"])
            board.statuses[job_id], board.names[job_id] = job["status"], job["name"]
            if job["open_run"] is not None:
                board.running.add(job_id)
            if job["consecutive_errors"] > 0:
                board.failing.add(job_id)
        return board

    def counts(self) -> Counter[str]:
        """How many jobs stand where."""
        return Counter(self.statuses.values())

    def name(self, job_id: str | None) -> str:
        """What a job is called, as far as it was met."""
        return self.names.get(job_id or "", (job_id or "-")[:8])

    def take_in(self, event: Event) -> None:
        """Let one event happen."""
        topic, job_id = event["topic"], event["job_id"]
        if topic.startswith("job."):
            self._name(job_id, event["data"])
            self._move(job_id, topic, event["data"])
            self._run(job_id, topic)
            self._count(job_id, topic, event["data"])
        if topic == FAILED:
            at = parse_rfc3339(event["recorded_at"])
            self.failures[at.replace(second=0, microsecond=0)] += 1
        if topic in LOUD:
            self.trip_count += topic == TRIPPED
            self.loud_count += 1
            self.loud.append(event)

    def _name(self, job_id: str, data: Mapping[str, Any]) -> None:
        name = data.get("name") or data.get("changes", {}).get("name")
        if name:
            self.names[job_id] = name

    def _move(self, job_id: str, topic: str, data: Mapping[str, Any]) -> None:
        status = data["status"] if topic == IMPORTED else MADE.get(topic, "")
        if status is None:
            self.statuses.pop(job_id, None)
            self.failing.discard(job_id)
        elif status:
            self.statuses[job_id] = status

    def _run(self, job_id: str, topic: str) -> None:
        if topic == STARTED:
            self.running.add(job_id)
        elif topic in ENDS:
            self.running.discard(job_id)

    def _count(self, job_id: str, topic: str, data: Mapping[str, Any]) -> None:
        """An error of a class that does not count begins no streak."""
        if topic in (FAILED, IMPORTED) and data["consecutive_errors"] > 0:
            self.failing.add(job_id)
        elif topic in ("job.run_succeeded", "job.resumed", "job.force_resumed"):
            self.failing.discard(job_id)


class Player:
    """Plays events, which come in the order of the book, from one instant to another. `now` is the
    clock of then.
    """

    def __init__(
        self,
        board: Board,
        events: Iterator[Event],
        *,
        since: datetime,
        until: datetime,
        speed: float = 60.0,
    ) -> None:
        self.board = board
        self.since = since
        self.until = until
        self.now = since
        self.speed = min(max(speed, SLOWEST), FASTEST)
        self.is_paused = False
        self.last: Event | None = None
        """The event that happened last."""
        self.count = 0
        self._events = events
        self._coming = next(events, None)

    @property
    def is_over(self) -> bool:
        return self._coming is None and self.now >= self.until

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, of the player's: more by `speed` pass of then. Nothing passes
        while it is paused.
        """
        if self.is_paused:
            return
        goal = min(self.until, self.now + timedelta(seconds=seconds * self.speed))
        while self._coming is not None and _at(self._coming) <= goal:
            self._take()
        self.now = max(self.now, goal)

    def step(self) -> None:
        """Let the next event happen, and pause."""
        self.is_paused = True
        if self._coming is not None:
            self._take()
        else:
            self.now = self.until

    def jump(self) -> None:
        """Go on to the next trip at once; to the end when there is none."""
        while self._coming is not None:
            if self._take()["topic"] == TRIPPED:
                return
        self.now = self.until

    def toggle_pause(self) -> None:
        self.is_paused = not self.is_paused

    def faster(self) -> None:
        """Twice as fast, at most a day a second."""
        self.speed = min(self.speed * 2, FASTEST)

    def slower(self) -> None:
        """Half as fast, at least as it was."""
        self.speed = max(self.speed / 2, SLOWEST)

    def failures_by_minute(self, longest: int) -> list[int]:
        """How many runs failed in each minute up to now, at most the last so many."""
        last = self.now.replace(second=0, microsecond=0)
        first = max(self.since.replace(second=0, microsecond=0), last - (longest - 1) * MINUTE)
        return [
            self.board.failures[first + step * MINUTE]
            for step in range((last - first) // MINUTE + 1)
        ]

    def _take(self) -> Event:
        event = self._coming
        if event is None:
            raise StopIteration
        self.board.take_in(event)
        self.last, self.count = event, self.count + 1
        self.now = max(self.now, _at(event))
        self._coming = next(self._events, None)
        return event


def _at(event: Event) -> datetime:
    return parse_rfc3339(event["recorded_at"])
