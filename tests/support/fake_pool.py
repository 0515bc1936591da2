"""The run pool of tests, without threads or targets: a test or simulated time ends the runs."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.outcomes import Outcome
from ledger.dispatch.executors.pool import Finished
from tests.support.builders import ManualClock

Fate = Callable[[Claimed], tuple[timedelta, Outcome]]
"""How long a run takes, and how it ends."""


class FakePool:
    """Runs that were launched are open until `end` is called for them."""

    def __init__(self) -> None:
        self.running: dict[str, Claimed] = {}
        self._finished: list[Finished] = []

    def start(self) -> None: ...

    def close(self) -> None: ...

    def is_instant(self, executor: dict[str, Any] | None) -> bool:
        return False

    def launch(self, claimed: Claimed) -> None:
        self.running[claimed.run.run_id] = claimed

    def end(self, claimed: Claimed, outcome: Outcome) -> None:
        """A run ends."""
        self.running.pop(claimed.run.run_id, None)
        self._finished.append(Finished(claimed, outcome))

    def finished(self, limit: int) -> list[Finished]:
        finished, self._finished = self._finished[:limit], self._finished[limit:]
        return finished

    def put_back(self, finished: Finished) -> None:
        self._finished.append(finished)

    @property
    def finished_count(self) -> int:
        return len(self._finished)


class TimedPool(FakePool):
    """Runs end in simulated time: their fate is decided when they are launched."""

    def __init__(self, clock: ManualClock, fate: Fate) -> None:
        super().__init__()
        self._clock = clock
        self._fate = fate
        self._ends: list[tuple[datetime, str, Outcome]] = []

    def launch(self, claimed: Claimed) -> None:
        super().launch(claimed)
        took, outcome = self._fate(claimed)
        heapq.heappush(self._ends, (self._clock.now() + took, claimed.run.run_id, outcome))

    def finished(self, limit: int) -> list[Finished]:
        count = len(self._finished)
        while self._ends and self._ends[0][0] <= self._clock.now() and count < limit:
            _, run_id, outcome = heapq.heappop(self._ends)
            self.end(self.running[run_id], outcome)
            count += 1
        return super().finished(limit)

    def next_end(self) -> datetime | None:
        """When the next run ends."""
        return self._ends[0][0] if self._ends else None
