"""What is due and waits for a free slot: in the order of its time, late slots spread out so that a
start is not a storm.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
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
    item: DueItem
    is_late: bool = False

    @classmethod
    def newly_due(cls, item: DueItem, now: datetime) -> DueFire:
        """An item that has just become due."""
        return cls(item.at, item, item.cause == "fire" and now - item.at > LATE)


_Entry = tuple[datetime, datetime, int, DueFire]
"""An item in a heap, behind what orders it: its release, its instant, when it was added. Tuples are
compared without a call of Python.
"""
_Key = tuple[datetime, str, int]


def _key_of(due: DueFire) -> _Key:
    """What two equal items have in common, hashed without a call of Python."""
    item = due.item
    return (item.at, item.cause, item.job_id.int)


class ReadyQueue:
    """Due items for which no run has been claimed yet. Those that take no concurrency slot never
    wait behind those that do.
    """

    def __init__(
        self, is_instant: Callable[[DueItem], bool], is_ours: Callable[[DueItem], bool]
    ) -> None:
        self._is_instant = is_instant
        self._is_ours = is_ours
        self._instant: list[_Entry] = []
        self._others: list[_Entry] = []
        self._queued: set[_Key] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._instant) + len(self._others)

    def add_all(self, items: Sequence[DueItem], now: datetime) -> None:
        """Add items that have just become due. Late slots are released min(5 s, 600 s / n)
        apart.
        """
        dues = [DueFire.newly_due(item, now) for item in items]
        late_count = max(1, sum(due.is_late for due in dues))
        step = timedelta(seconds=min(SPREAD_STEP_SECONDS, SPREAD_WINDOW_SECONDS / late_count))
        number = 0
        for due in dues:
            if due.is_late:
                due = replace(due, release_at=now + step * number)
                number += 1
            self._add(due if self._is_ours(due.item) else _yielded(due, now))

    def give_back(self, dues: Sequence[DueFire]) -> None:
        """Return what was taken but could not be claimed."""
        for due in dues:
            self._add(due)

    def take(self, now: datetime, limit: int, free_slots: int) -> list[DueFire]:
        """Up to `limit` released items, oldest first, of which at most `free_slots` take a
        concurrency slot.
        """
        taken = _released(self._instant, now, limit)
        taken += _released(self._others, now, min(free_slots, limit - len(taken)))
        self._queued.difference_update(map(_key_of, taken))
        return taken

    def next_release_at(self) -> datetime | None:
        """When the next item is released."""
        firsts = [heap[0][0] for heap in (self._instant, self._others) if heap]
        return min(firsts, default=None)

    def of(self, job_id: UUID) -> DueFire | None:
        """The waiting item of a job, if there is one. From any thread."""
        waiting = (*list(self._instant), *list(self._others))
        return next((due for *_, due in waiting if due.item.job_id == job_id), None)

    def _add(self, due: DueFire) -> None:
        """An item that was added again, because its job changed meanwhile, replaces the first
        one.
        """
        key = _key_of(due)
        if key in self._queued:
            return
        self._queued.add(key)
        heap = self._instant if self._is_instant(due.item) else self._others
        heapq.heappush(heap, (due.release_at, due.item.at, next(self._numbers), due))


def _yielded(due: DueFire, now: datetime) -> DueFire:
    return replace(due, release_at=max(due.release_at, now) + OTHERS_WAIT)


def _released(heap: list[_Entry], now: datetime, limit: int) -> list[DueFire]:
    taken: list[DueFire] = []
    while heap and heap[0][0] <= now and len(taken) < limit:
        taken.append(heapq.heappop(heap)[-1])
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
    def are_slots_full(self) -> bool:
        return self.running_count >= self.concurrency
