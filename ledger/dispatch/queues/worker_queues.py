"""Due runs that wait for external workers, queue by queue, and the workers that wait for them."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime

from ledger.application.due_queue import UNPAUSE, DueItem
from ledger.application.ledger import Ledger
from ledger.background_loop import BackgroundLoop
from ledger.dispatch.queues.ready_queue import DueFire
from ledger.domain.job.executor_spec import queue_of
from ledger.errors import LedgerError, Overloaded, Unavailable

MAX_WAITING = 1000
"""Workers that may wait at once; one more is Overloaded."""


class WorkerQueues:
    """Filled by a dispatcher, emptied by claims; any thread may call any method.

    A due run waits here until a worker takes it. It may be out of date by then: the claim asks the
    ledger whether there still is anything to start.
    """

    def __init__(self) -> None:
        self._due: defaultdict[str, list[DueFire]] = defaultdict(list)
        self._queued: set[tuple[str, DueItem]] = set()
        self._waiting: defaultdict[str, deque[Future[None]]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._is_closed = False

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._due.values()))

    def add(self, queue: str, due: DueFire) -> None:
        """A run of this queue has become due: one of the waiting workers is notified. A run that is
        added again, because its job was changed, is in the queue once.
        """
        with self._lock:
            if (queue, due.item) in self._queued:
                return
            self._queued.add((queue, due.item))
            heapq.heappush(self._due[queue], due)
            self._notify_one(queue)

    def take(self, queue: str) -> DueFire | None:
        """The run that has been due longest, or None."""
        with self._lock:
            due = self._due.get(queue)
            if not due:
                return None
            first = heapq.heappop(due)
            self._queued.discard((queue, first.item))
            if not due:
                del self._due[queue]
            return first

    def arrival(self, queue: str) -> Future[None]:
        """A future that is done when there is something to take, at once if there is. Pass it to
        `leave` afterwards. Refuses Overloaded, and Unavailable once the node shuts down.
        """
        arrival: Future[None] = Future()
        with self._lock:
            if self._is_closed:
                raise Unavailable(
                    "This node is shutting down: claim from another node, or try again later."
                )
            if sum(map(len, self._waiting.values())) >= MAX_WAITING:
                raise Overloaded(MAX_WAITING)
            self._waiting[queue].append(arrival)
            if queue in self._due:
                self._notify_one(queue)
        return arrival

    def leave(self, queue: str, arrival: Future[None]) -> None:
        """Stop waiting. A worker that was notified and leaves without taking passes the
        notification on.
        """
        with self._lock:
            with suppress(ValueError):
                self._waiting[queue].remove(arrival)
            if not self._waiting[queue]:
                del self._waiting[queue]
            if arrival.done() and queue in self._due:
                self._notify_one(queue)

    def close(self) -> None:
        """The node shuts down: end all waits."""
        with self._lock:
            self._is_closed = True
            for queue in list(self._waiting):
                while self._notify_one(queue):
                    pass

    def _notify_one(self, queue: str) -> bool:
        waiting = self._waiting.get(queue)
        if not waiting:
            return False
        waiting.popleft().set_result(None)
        return True


MAX_DUE_ITEMS = 10_000
IDLE_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


def route_to_queues(
    ledger: Ledger, items: Sequence[DueItem], queues: WorkerQueues, now: datetime
) -> list[DueItem]:
    """Put the runs of workers into their queues; returns the others. All go back to the due queue
    when one of their jobs cannot be read: the LedgerError is raised.
    """
    try:
        found = [(item, _queue_for(ledger, item)) for item in items]
    except LedgerError:
        ledger.job_cache.due.give_back(items)
        raise
    for item, queue in found:
        if queue is not None:
            queues.add(queue, DueFire.newly_due(item, now))
    return [item for item, queue in found if queue is None]


def _queue_for(ledger: Ledger, item: DueItem) -> str | None:
    if item.cause == UNPAUSE:
        return None
    job = ledger.job_cache.jobs.get(item.job_id) or ledger.fold(item.job_id)
    return queue_of(job.executor)


class WorkerQueueFeeder:
    """What a claim needs of a node: its name, and the due runs that wait for workers."""

    def __init__(self, ledger: Ledger) -> None:
        self.node = f"node-{ledger.chance.new_id().hex[:12]}"
        self.queues = WorkerQueues()
        self._ledger = ledger
        self._loop = BackgroundLoop("worker-queues", self._step, wait=ledger.job_cache.due.wait)

    def start(self) -> None:
        """Feed the queues from now on."""
        self._loop.start()

    def close(self) -> None:
        """End the waits of workers: no runs will be queued here any more."""
        self.queues.close()
        self._loop.close(0.0)
        self._ledger.job_cache.due.notify()
        self._loop.join()

    def route(self) -> int:
        """Put due runs of workers into their queues; returns how many items were looked at."""
        now = self._ledger.clock.now()
        items = self._ledger.job_cache.due.take_due(now, MAX_DUE_ITEMS)
        route_to_queues(self._ledger, items, self.queues, now)
        return len(items)

    def _step(self) -> float:
        return 0.0 if self.route() else self._idle_seconds()

    def _idle_seconds(self) -> float:
        at = self._ledger.job_cache.due.next_at()
        if at is None:
            return IDLE_SECONDS
        return max(0.0, min(IDLE_SECONDS, (at - self._ledger.clock.now()).total_seconds()))
