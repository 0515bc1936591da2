"""A run pool without threads or targets, in simulated time."""

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


class TimedRuns:
    """The duration and outcome of a run are fixed when it begins, by `fate`."""

    def __init__(self, clock: ManualClock, fate: Fate) -> None:
        self.running: dict[str, Claimed] = {}
        self._clock = clock
        self._fate = fate
        self._ends: list[tuple[datetime, str, Outcome]] = []
        self._back: list[Finished] = []

    def start(self) -> None: ...

    def close(self) -> None: ...

    def is_instant(self, executor: dict[str, Any] | None) -> bool:
        return False

    def launch(self, claimed: Claimed) -> None:
        run_id = claimed.run.run_id
        took, outcome = self._fate(claimed)
        self.running[run_id] = claimed
        heapq.heappush(self._ends, (self._clock.now() + took, run_id, outcome))

    def finished(self, limit: int) -> list[Finished]:
        done, self._back = self._back, []
        while self._ends and self._ends[0][0] <= self._clock.now() and len(done) < limit:
            _, run_id, outcome = heapq.heappop(self._ends)
            done.append(Finished(self.running.pop(run_id), outcome))
        return done

    def put_back(self, finished: Finished) -> None:
        self._back.append(finished)

    @property
    def finished_count(self) -> int:
        return len(self._back)

    def next_end(self) -> datetime | None:
        """When the next run ends."""
        return self._ends[0][0] if self._ends else None
