"""What needs the dispatcher next: one due item a job, in the order of their instants."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID

from ledger.clock import EPOCH
from ledger.domain.job.job import Job

UNPAUSE = "unpause"


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """When a job next needs the dispatcher, and why: request, fire, unpause or probe."""

    at: datetime
    cause: str
    job_id: UUID


class DueQueue:
    """The due items of all jobs. The writer's thread puts them, dispatchers take them."""

    def __init__(self) -> None:
        self._current: dict[int, tuple[DueItem, int]] = {}
        self._heap: list[tuple[datetime, int, UUID]] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def put(self, job: Job) -> None:
        """Replace the due item of a job by what its new state asks for."""
        item = due_item_of(job)
        with self._lock:
            before = self._current.get(job.id.int)
            if before is not None and before[0] == item:
                return
            if item is None:
                self._current.pop(job.id.int, None)
            else:
                self._push(item)

    def _push(self, item: DueItem) -> None:
        number = next(self._numbers)
        self._current[item.job_id.int] = (item, number)
        heapq.heappush(self._heap, (item.at, number, item.job_id))

    def take_due(self, now: datetime, limit: int) -> list[DueItem]:
        """Up to `limit` items that are due, in order. Each is given out once until its job
        changes.
        """
        due: list[DueItem] = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now and len(due) < limit:
                _, number, job_id = heapq.heappop(self._heap)
                item, current = self._current.get(job_id.int, (None, -1))
                if item is not None and current == number:
                    del self._current[job_id.int]
                    due.append(item)
        return due

    def give_back(self, items: Sequence[DueItem]) -> None:
        """Return items that could not be handled; those of jobs that changed since are dropped."""
        with self._lock:
            for item in items:
                if item.job_id.int not in self._current:
                    self._push(item)

    def next_at(self) -> datetime | None:
        """When the next item is due."""
        with self._lock:
            while self._heap:
                at, number, job_id = self._heap[0]
                if self._current.get(job_id.int, (None, -1))[1] == number:
                    return at
                heapq.heappop(self._heap)
        return None

    def notify(self) -> None:
        """Wake the thread that waits."""
        self._changed.set()

    def wait(self, seconds: float | None) -> None:
        """Wait until `notify` is called, at most so long."""
        self._changed.wait(seconds)
        self._changed.clear()


def due_item_of(job: Job) -> DueItem | None:
    """The next due item of a job; None while a run is open or the job does not fire."""
    if job.open_run is not None:
        return None
    if job.status == "paused" and job.paused_until is not None:
        return DueItem(job.paused_until, UNPAUSE, job.id)
    if not job.enabled:
        return None
    if job.status == "failed" and job.probe_at is not None:
        return DueItem(job.probe_at, "probe", job.id)
    if job.status != "active":
        return None
    if job.is_run_requested:
        return DueItem(EPOCH, "request", job.id)
    if job.next_run_at is None:
        return None
    return DueItem(job.next_run_at + job.parsed_policy.jitter(job.id), "fire", job.id)
