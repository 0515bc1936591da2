"""What is due and waits for a place: in the order of its time, late slots spread out so that a
start is no storm.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger.store.heads import Wake

LATE = timedelta(seconds=30)
"""A slot first seen so long after its time is caught up, or skipped, as the job's policy says."""
SPREAD_STEP_SECONDS = 5.0
SPREAD_WINDOW_SECONDS = 600.0


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """One wake with the instant from which it may be served."""

    release_at: datetime
    wake: Wake
    is_late: bool = False


class Ready:
    """Due wakes that no run has been claimed for yet."""

    def __init__(self) -> None:
        self._heap: list[Due] = []

    def __len__(self) -> int:
        return len(self._heap)

    def take_in(self, wakes: Sequence[Wake], now: datetime) -> None:
        """Add wakes that have just come due. Late slots are released min(5 s, 600 s / n) apart."""
        dues = [Due(wake.at, wake, _is_late(wake, now)) for wake in wakes]
        late_count = sum(due.is_late for due in dues)
        step = (
            timedelta(seconds=min(SPREAD_STEP_SECONDS, SPREAD_WINDOW_SECONDS / late_count))
            if late_count
            else LATE
        )
        place = 0
        for due in dues:
            released = due
            if due.is_late:
                released = replace(due, release_at=now + step * place)
                place += 1
            heapq.heappush(self._heap, released)

    def give_back(self, dues: Sequence[Due]) -> None:
        """Return what was taken but could not be served."""
        for due in dues:
            heapq.heappush(self._heap, due)

    def take(self, now: datetime, limit: int, has_place: Callable[[Wake], bool]) -> list[Due]:
        """Up to `limit` released wakes, oldest first, leaving those for which there is no place."""
        taken: list[Due] = []
        left: list[Due] = []
        while (
            self._heap
            and self._heap[0].release_at <= now
            and len(taken) < limit
            and len(left) < limit
        ):
            due = heapq.heappop(self._heap)
            (taken if has_place(due.wake) else left).append(due)
        self.give_back(left)
        return taken

    def next_release_at(self) -> datetime | None:
        """When something here is next released."""
        return self._heap[0].release_at if self._heap else None


def _is_late(wake: Wake, now: datetime) -> bool:
    return wake.cause == "fire" and now - wake.at > LATE
