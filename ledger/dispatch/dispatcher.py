"""Runs what is due: claims by an append, executes only what is committed, records each outcome
once. The cycle does the work; the thread around it only waits.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from ledger.application.ledger import Ledger
from ledger.background_loop import BackgroundLoop
from ledger.dispatch.cycle import DispatchCycle
from ledger.dispatch.executors.pool import ExecutorPool, RunPool
from ledger.dispatch.executors.registry import Executors, ExecutorSettings
from ledger.dispatch.leases.membership import ClusterNode, Membership, SingleNode
from ledger.dispatch.queues.ready_queue import QueuePosition
from ledger.dispatch.queues.worker_queues import WorkerQueues
from ledger.errors import LedgerError

CONCURRENCY = 32
IDLE_SECONDS = 5.0
"""The longest wait: a jump of the wall clock is noticed within it."""

log = logging.getLogger(__name__)


class Dispatcher:
    """One node that runs jobs, in executors made from settings, or in a run pool of the caller's.
    Where several nodes share the ledger, `start` joins them.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: ExecutorSettings | RunPool,
        *,
        concurrency: int = CONCURRENCY,
        node: str | None = None,
    ) -> None:
        self.nodes = _membership(ledger, node)
        self._ledger = ledger
        self._run_pool: RunPool = (
            ExecutorPool(Executors(work, clock=ledger.clock), ledger.job_cache.due.notify)
            if isinstance(work, ExecutorSettings)
            else work
        )
        self._cycle = DispatchCycle(ledger, self._run_pool, self.nodes, concurrency=concurrency)
        self._loop = BackgroundLoop(
            "dispatcher", self._step, wait=ledger.job_cache.due.wait, until=self._is_done
        )
        self._are_runs_lost = False

    @property
    def node(self) -> str:
        """The name under which this node claims runs."""
        return self.nodes.name

    @property
    def queues(self) -> WorkerQueues:
        """The due runs that wait for external workers."""
        return self._cycle.queues

    def queue_position_of(self, job_id: UUID) -> QueuePosition:
        """What this node knows of a job that is due, from any thread."""
        return self._cycle.queue_position_of(job_id)

    def run_once(self) -> int:
        """One cycle (see `DispatchCycle.run_once`), for callers that start no thread."""
        return self._cycle.run_once()

    # -- the thread -----------------------------------------------------------------------------

    def start(self) -> None:
        """Record as lost what former owners left open, then begin to run what is due."""
        self.nodes.start()
        self._run_pool.start()
        self._loop.start()

    def drain(self, seconds: float) -> None:
        """Claim nothing more, let runs end for so long, record the rest as lost (`shutdown`), and
        stop.
        """
        self._cycle.is_draining = True
        self.queues.close()
        self._ledger.job_cache.due.notify()
        if self._loop.was_started:
            self._loop.join(seconds)
            try:
                self._lose_open_runs()
            except LedgerError as error:  # the next owner, or another node, records them as lost
                log.error("open runs could not be recorded as lost: %s", error.message)
            self._are_runs_lost = True
            self._ledger.job_cache.due.notify()
            self._loop.join()
        self._run_pool.close()
        self.nodes.close()

    def health(self) -> dict[str, Any]:
        """Whether it runs, its problem if there is one, how many runs are open, how late the last
        claims were.
        """
        problem = self._loop.problem
        is_running = self._loop.is_running and not self._cycle.is_draining
        state = "broken" if is_running and problem else "running" if is_running else "stopped"
        return {
            "node": self.node,
            "state": state,
            "problem": problem,
            "open_runs": len(self._ledger.job_cache.runs.open_runs()),
            "waiting": self._cycle.waiting_count,
            "lag_seconds": round(self._cycle.lag_seconds, 3),
            "lease_age_seconds": self.nodes.lease_age_seconds(),
        }

    def _step(self) -> float:
        return 0.0 if self.run_once() else self._idle_seconds()

    def _is_done(self) -> bool:
        is_idle = not self._run_pool.running and self._run_pool.finished_count == 0
        return self._are_runs_lost or (self._cycle.is_draining and is_idle)

    def _lose_open_runs(self) -> None:
        runs = list(self._run_pool.running.values())
        if runs:
            self._cycle.lose(runs, "shutdown")

    def _idle_seconds(self) -> float:
        now = self._ledger.clock.now()
        instants = (self._ledger.job_cache.due.next_at(), self._cycle.next_release_at())
        coming = [(at - now).total_seconds() for at in instants if at is not None and at > now]
        if self._run_pool.finished_count:
            return 0.0
        return min([IDLE_SECONDS, *coming])


def _membership(ledger: Ledger, name: str | None) -> Membership:
    def new_name() -> str:
        return f"node-{ledger.chance.new_id().hex[:12]}"

    table = ledger.event_store.node_registry()
    if table is None:
        return SingleNode(name or new_name())
    return ClusterNode(table, ledger.clock, new_name)
