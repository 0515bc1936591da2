"""Hands due runs to external workers on a node that runs nothing itself: it answers HTTP only, and
other nodes of its ledger dispatch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from ledger.application.due_queue import UNPAUSE, DueItem
from ledger.application.ledger import Ledger
from ledger.background_loop import BackgroundLoop
from ledger.dispatch.queues.ready_queue import DueFire
from ledger.dispatch.queues.worker_queues import WorkerQueues
from ledger.domain.job.executor_spec import queue_of
from ledger.errors import LedgerError

MAX_WAKES = 10_000
IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


def route_to_queues(
    ledger: Ledger, wakes: Sequence[DueItem], queues: WorkerQueues, now: datetime
) -> list[DueItem]:
    """Put those of workers into their queues; gives the others. All go back to the heads when the
    book cannot be asked for one of their jobs: the LedgerError goes on to the caller.
    """
    try:
        found = [(wake, _queue_for(ledger, wake)) for wake in wakes]
    except LedgerError:
        ledger.job_cache.due.give_back(wakes)
        raise
    for wake, queue in found:
        if queue is not None:
            queues.add(queue, DueFire.first_seen(wake, now))
    return [wake for wake, queue in found if queue is None]


def _queue_for(ledger: Ledger, wake: DueItem) -> str | None:
    if wake.cause == UNPAUSE:
        return None
    job = ledger.job_cache.jobs.get(wake.job_id) or ledger.fold(wake.job_id)
    return queue_of(job.executor)


class WorkerQueueFeeder:
    """What a claim needs of a node: its name, and the due runs that wait for workers."""

    def __init__(self, ledger: Ledger) -> None:
        self.node = f"node-{ledger.chance.new_id().hex[:12]}"
        self.queues = WorkerQueues()
        self._ledger = ledger
        self._loop = BackgroundLoop("worker-queues", self._step, wait=ledger.job_cache.due.wait)

    def start(self) -> None:
        """Lay out from now on what comes due."""
        self._loop.start()

    def close(self) -> None:
        """Whoever waits is told that nothing will come from here."""
        self.queues.close()
        self._loop.close(0.0)
        self._ledger.job_cache.due.notify()
        self._loop.join()

    def route(self) -> int:
        """Lay out the runs of workers that have come due; gives how many wakes were looked at."""
        now = self._ledger.clock.now()
        wakes = self._ledger.job_cache.due.take_due(now, MAX_WAKES)
        route_to_queues(self._ledger, wakes, self.queues, now)
        return len(wakes)

    def _step(self) -> float:
        return 0.0 if self.route() else self._idle_seconds()

    def _idle_seconds(self) -> float:
        at = self._ledger.job_cache.due.next_at()
        if at is None:
            return IDLE_SECONDS
        return max(0.0, min(IDLE_SECONDS, (at - self._ledger.clock.now()).total_seconds()))
