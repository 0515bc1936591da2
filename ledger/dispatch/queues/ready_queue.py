"""What is due and waits for a free slot: in the order of its time, late slots spread out so that a
start is not a storm.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from ledger.application.due_queue import DueItem
from ledger.domain.job.missed_slots import LATE

OTHERS_WAIT = timedelta(seconds=1)
"""How much longer a node waits with an item that another node claims first."""
SPREAD_STEP_SECONDS = 5.0
SPREAD_WINDOW_SECONDS = 600.0


@dataclass(frozen=True, slots=True, order=True)
class DueFire:
    """One due item with the instant from which it may be claimed."""

    release_at: datetime
    wake: DueItem
    is_late: bool = False

    @classmethod
    def first_seen(cls, wake: DueItem, now: datetime) -> DueFire:
        """An item that has just become due."""
        return cls(wake.at, wake, wake.cause == "fire" and now - wake.at > LATE)


class ReadyQueue:
    """Due items for which no run has been claimed yet. Those that take no concurrency slot never
    wait behind those that do.
    """

    def __init__(
        self, is_instant: Callable[[DueItem], bool], is_ours: Callable[[DueItem], bool]
    ) -> None:
        self._is_instant = is_instant
        self._is_ours = is_ours
        self._instant: list[DueFire] = []
        self._others: list[DueFire] = []
        self._standing: set[DueItem] = set()

    def __len__(self) -> int:
        return len(self._instant) + len(self._others)

    def take_in(self, wakes: Sequence[DueItem], now: datetime) -> None:
        """Add items that have just become due. Late slots are released min(5 s, 600 s / n)
        apart.
        """
        dues = [DueFire.first_seen(wake, now) for wake in wakes]
        late_count = max(1, sum(due.is_late for due in dues))
        step = timedelta(seconds=min(SPREAD_STEP_SECONDS, SPREAD_WINDOW_SECONDS / late_count))
        place = 0
        for due in dues:
            if due.is_late:
                due = replace(due, release_at=now + step * place)
                place += 1
            self._add(due if self._is_ours(due.wake) else _yielded(due, now))

    def give_back(self, dues: Sequence[DueFire]) -> None:
        """Return what was taken but could not be claimed."""
        for due in dues:
            self._add(due)

    def take(self, now: datetime, limit: int, places: int) -> list[DueFire]:
        """Up to `limit` released items, oldest first, of which at most `places` take a concurrency
        slot.
        """
        taken = _released(self._instant, now, limit)
        taken += _released(self._others, now, min(places, limit - len(taken)))
        self._standing.difference_update(due.wake for due in taken)
        return taken

    def next_release_at(self) -> datetime | None:
        """When the next item is released."""
        job_cache = [heap[0].release_at for heap in (self._instant, self._others) if heap]
        return min(job_cache, default=None)

    def of(self, job_id: UUID) -> DueFire | None:
        """The waiting item of a job, if there is one. From any thread."""
        waiting = (*list(self._instant), *list(self._others))
        return next((due for due in waiting if due.wake.job_id == job_id), None)

    def _add(self, due: DueFire) -> None:
        """An item that was added again, because its job changed meanwhile, replaces the first
        one.
        """
        if due.wake in self._standing:
            return
        self._standing.add(due.wake)
        heapq.heappush(self._instant if self._is_instant(due.wake) else self._others, due)


def _yielded(due: DueFire, now: datetime) -> DueFire:
    return replace(due, release_at=max(due.release_at, now) + OTHERS_WAIT)


def _released(heap: list[DueFire], now: datetime, limit: int) -> list[DueFire]:
    taken: list[DueFire] = []
    while heap and heap[0].release_at <= now and len(taken) < limit:
        taken.append(heapq.heappop(heap))
    return taken


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The job's position in the queue of a node, and the node's concurrency slots. `release_at` is
    None when it does not wait there; `is_late` marks a start that is spread out after a downtime.
    """

    release_at: datetime | None
    is_late: bool
    running_count: int
    concurrency: int

    @property
    def are_taken(self) -> bool:
        return self.running_count >= self.concurrency
