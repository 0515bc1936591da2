"""Due runs that wait for external workers, queue by queue, and the workers that wait for them."""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict, deque
from concurrent.futures import Future
from contextlib import suppress

from ledger.application.due_queue import DueItem
from ledger.dispatch.queues.ready_queue import DueFire
from ledger.errors import Overloaded, Unavailable

MAX_WAITING = 1000
"""Workers that may wait at once; one more is Overloaded."""


class WorkerQueues:
    """Filled by a dispatcher, emptied by claims; any thread may call any of it.

    A due run stands here until somebody takes it. It may be out of date by then: whoever takes one
    asks the ledger, which says whether there still is anything to start.
    """

    def __init__(self) -> None:
        self._due: defaultdict[str, list[DueFire]] = defaultdict(list)
        self._standing: set[tuple[str, DueItem]] = set()
        self._waiting: defaultdict[str, deque[Future[None]]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._is_closed = False

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._due.values()))

    def add(self, queue: str, due: DueFire) -> None:
        """A run of this queue has come due: one of those who wait for it is told. One that stands
        there already, and was seen again because its job was changed, is there once.
        """
        with self._lock:
            if (queue, due.wake) in self._standing:
                return
            self._standing.add((queue, due.wake))
            heapq.heappush(self._due[queue], due)
            self._tell_one(queue)

    def take(self, queue: str) -> DueFire | None:
        """The run that has been due longest, or None."""
        with self._lock:
            due = self._due.get(queue)
            if not due:
                return None
            taken = heapq.heappop(due)
            self._standing.discard((queue, taken.wake))
            if not due:
                del self._due[queue]
            return taken

    def arrival(self, queue: str) -> Future[None]:
        """Done when something is there to be taken, at once if it is. To be given back with
        `leave`. Refuses Overloaded, and Unavailable once the node ends.
        """
        arrival: Future[None] = Future()
        with self._lock:
            if self._is_closed:
                raise Unavailable("This node is shutting down: claim from another, or try again.")
            if sum(map(len, self._waiting.values())) >= MAX_WAITING:
                raise Overloaded(MAX_WAITING)
            self._waiting[queue].append(arrival)
            if queue in self._due:
                self._tell_one(queue)
        return arrival

    def leave(self, queue: str, arrival: Future[None]) -> None:
        """Wait no more. Who was told and goes away without taking passes the word on."""
        with self._lock:
            with suppress(ValueError):
                self._waiting[queue].remove(arrival)
            if not self._waiting[queue]:
                del self._waiting[queue]
            if arrival.done() and queue in self._due:
                self._tell_one(queue)

    def close(self) -> None:
        """The node ends: nobody needs to wait any longer."""
        with self._lock:
            self._is_closed = True
            for queue in list(self._waiting):
                while self._tell_one(queue):
                    pass

    def _tell_one(self, queue: str) -> bool:
        waiting = self._waiting.get(queue)
        if not waiting:
            return False
        waiting.popleft().set_result(None)
        return True
