"""Hands due runs to external workers on a node that runs nothing itself: it answers HTTP only, and
other nodes of its ledger dispatch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime

from ledger.application.due import UNPAUSE, Wake
from ledger.application.ledger import Ledger
from ledger.dispatch.queues.ready_queue import Due
from ledger.dispatch.queues.worker_queues import Queues
from ledger.domain.job.executor_spec import queue_of
from ledger.errors import LedgerError

MAX_WAKES = 10_000
IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


def lay_out(ledger: Ledger, wakes: Sequence[Wake], queues: Queues, now: datetime) -> list[Wake]:
    """Put those of workers into their queues; gives the others. All go back to the heads when the
    book cannot be asked for one of their jobs: the LedgerError goes on to the caller.
    """
    try:
        found = [(wake, _queue_for(ledger, wake)) for wake in wakes]
    except LedgerError:
        ledger.heads.give_back(wakes)
        raise
    for wake, queue in found:
        if queue is not None:
            queues.add(queue, Due.first_seen(wake, now))
    return [wake for wake, queue in found if queue is None]


def _queue_for(ledger: Ledger, wake: Wake) -> str | None:
    if wake.cause == UNPAUSE:
        return None
    job = ledger.heads.jobs.get(wake.job_id) or ledger.fold(wake.job_id)
    return queue_of(job.executor)


class Desk:
    """What a claim needs of a node: its name, and the due runs that wait for workers."""

    def __init__(self, ledger: Ledger) -> None:
        self.node = f"node-{ledger.chance.new_id().hex[:12]}"
        self.queues = Queues()
        self._ledger = ledger
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-desk", daemon=True)

    def start(self) -> None:
        """Lay out from now on what comes due."""
        self._thread.start()

    def close(self) -> None:
        """Whoever waits is told that nothing will come from here."""
        self._is_closing.set()
        self.queues.close()
        self._ledger.heads.ring()
        if self._thread.ident is not None:
            self._thread.join()

    def lay_out(self) -> int:
        """Lay out the runs of workers that have come due; gives how many wakes were looked at."""
        now = self._ledger.clock.now()
        wakes = self._ledger.heads.take_due(now, MAX_WAKES)
        lay_out(self._ledger, wakes, self.queues, now)
        return len(wakes)

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                did = self.lay_out()
            except Exception:  # the desk outlives a mistake
                log.exception("the desk met an error and goes on")
                self._is_closing.wait(RETRY_SECONDS)
                did = 0
            if not did:
                self._ledger.heads.wait(self._idle_seconds())

    def _idle_seconds(self) -> float:
        at = self._ledger.heads.next_at()
        if at is None:
            return IDLE_SECONDS
        return max(0.0, min(IDLE_SECONDS, (at - self._ledger.clock.now()).total_seconds()))
