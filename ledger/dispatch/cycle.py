"""One cycle of a node's dispatch: outcomes, losses and claims in one append, then the launch of
what was claimed.

A cycle is bounded and waits only for its append, so a test or a simulation can drive it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands import runs as run_commands
from ledger.application.commands.command import Command
from ledger.application.commands.runs import Claimed
from ledger.application.due_queue import DueItem, due_item_of
from ledger.application.ledger import Ledger
from ledger.dispatch.executors.outcomes import Blocked, Deferred, ended_of
from ledger.dispatch.executors.pool import Finished, RunPool
from ledger.dispatch.leases.leases import AbandonedRun, Leases
from ledger.dispatch.leases.membership import Membership
from ledger.dispatch.leases.reaper import REAP_EVERY, LostRunReaper, ending_command
from ledger.dispatch.queues.ready_queue import DueFire, QueuePosition, ReadyQueue
from ledger.dispatch.queues.worker_queues import WorkerQueues, route_to_queues
from ledger.domain.job.outcomes import Failure
from ledger.errors import Invalid, LedgerError, StorageFull, Unavailable
from ledger.store.instrumentation import RunEnded

MAX_CLAIMS = 500
"""Runs claimed in one append."""
MAX_REPORTS = 500
"""Outcomes recorded in one append."""
MAX_OUTCOMES_WAITING = 10_000
"""Outcomes that may wait while claims go first."""
MAX_DUE_ITEMS = 10_000
"""Due items taken from the due queue at a time."""
RETRYABLE_ERRORS = (Unavailable, StorageFull)
"""Errors after which commands are sent again: the ledger could not commit anything."""

log = logging.getLogger(__name__)


class DispatchCycle:
    """What a node does in each cycle. Its commands go through the ledger like all others."""

    def __init__(
        self, ledger: Ledger, run_pool: RunPool, nodes: Membership, *, concurrency: int
    ) -> None:
        self.queues = WorkerQueues()
        self.concurrency = concurrency
        self.lag_seconds = 0.0
        """How late the last run was claimed."""
        self.is_draining = False
        """Whether no more runs are to be claimed."""
        self._ledger = ledger
        self._instrumentation = ledger.instrumentation
        self._run_pool = run_pool
        self._nodes = nodes
        self._executing: set[str] = set()
        self._ready = ReadyQueue(self._is_instant, self._is_ours)
        self._reaper = LostRunReaper(Leases(nodes, ledger.job_cache, self._executing.__contains__))

    @property
    def waiting_count(self) -> int:
        """How many items are due and have no run yet."""
        return len(self._ready) + len(self.queues)

    def next_release_at(self) -> datetime | None:
        """When the next waiting item is to be claimed."""
        return self._ready.next_release_at()

    def queue_position_of(self, job_id: UUID) -> QueuePosition:
        """The position of a due job in this node's queue. From any thread."""
        due = self._ready.of(job_id)
        release_at = due.release_at if due is not None else None
        is_late = due is not None and due.is_late
        return QueuePosition(release_at, is_late, len(self._run_pool.running), self.concurrency)

    def run_once(self) -> int:
        """Record outcomes and losses and claim what is due, all in one append; then launch what was
        claimed. In a burst claims go first: an outcome can wait, a start cannot.

        Returns how many outcomes, losses and claims it handled. When the ledger cannot commit them,
        they are put back, and the LedgerError is raised.
        """
        now = self._ledger.clock.now()
        work = self._collect(now)
        if work.is_empty:
            return 0
        with self._instrumentation.step():
            return self._apply_results(work, self._submit(work, now), now)

    def _submit(self, work: CycleWork, now: datetime) -> list[Any]:
        try:
            return self._ledger.submit(self._commands(work, now)).result()
        except BaseException:
            self._put_back(work)
            raise

    def _collect(self, now: datetime) -> CycleWork:
        lost = self._reaper.take(now)  # first: it may fail, and then nothing has been taken yet
        dues = self._take_due(now) if self._may_claim() else []
        is_burst = len(dues) == MAX_CLAIMS and self._run_pool.finished_count < MAX_OUTCOMES_WAITING
        finished = [] if is_burst else self._run_pool.finished(MAX_REPORTS)
        return CycleWork(finished, lost, dues)

    def _may_claim(self) -> bool:
        return not self.is_draining and self._nodes.may_claim()

    def _put_back(self, work: CycleWork) -> None:
        for item in work.finished:
            self._run_pool.put_back(item)
        self._ready.give_back(work.dues)
        self._reaper.check_now()

    def _commands(self, work: CycleWork, now: datetime) -> list[Command[Any]]:
        return [
            *(
                self._report(item, self._ledger.dispatcher_context(now=now))
                for item in work.finished
            ),
            *(ending_command(item, self._ledger.dispatcher_context(now=now)) for item in work.lost),
            *(self._claim(due, self._ledger.dispatcher_context(now=now)) for due in work.dues),
        ]

    def _apply_results(self, work: CycleWork, results: Sequence[Any], now: datetime) -> int:
        """Handle every result, then raise the first error that the ledger is unavailable."""
        reported, ended = len(work.finished), len(work.finished) + len(work.lost)
        for item, result in zip(work.finished, results[:reported], strict=True):
            self._after_report(item, result)
        if any(isinstance(result, BaseException) for result in results[reported:ended]):
            self._reaper.check_now()
        for due, result in zip(work.dues, results[ended:], strict=True):
            self._after_claim(due, result, now)
        problem = next((result for result in results if isinstance(result, RETRYABLE_ERRORS)), None)
        if problem is not None:
            raise problem
        return len(results)

    def _claim(self, due: DueFire, context: CommandContext) -> Command[Claimed | None]:
        return run_commands.ClaimRun(
            due.item.job_id, context, node=self._nodes.name, is_late=due.is_late
        )

    def _take_due(self, now: datetime) -> list[DueFire]:
        items = self._ledger.job_cache.due.take_due(now, MAX_DUE_ITEMS)
        self._ready.add_all(route_to_queues(self._ledger, items, self.queues, now), now)
        free_slots = max(0, self.concurrency - len(self._run_pool.running))
        return [
            due for due in self._ready.take(now, MAX_CLAIMS, free_slots) if self._is_current(due)
        ]

    def _is_current(self, due: DueFire) -> bool:
        """Whether an item still is what its job waits for: another node may have claimed it."""
        job = self._ledger.job_cache.jobs.get(due.item.job_id)
        return job is None or due_item_of(job) == due.item

    def _is_instant(self, item: DueItem) -> bool:
        job = self._ledger.job_cache.jobs.get(item.job_id)
        return job is not None and self._run_pool.is_instant(job.executor)

    def _is_ours(self, item: DueItem) -> bool:
        return self._nodes.is_first_for(item.job_id)

    def _report(self, item: Finished, context: CommandContext) -> Command[Any]:
        job_id, run_id = item.claimed.job_id, item.claimed.run.run_id
        match item.outcome:
            case Deferred():
                return run_commands.DeferRun(job_id, run_id, context)
            case Blocked():
                return run_commands.RecordOutcome(job_id, run_id, item.outcome.cause, context)
            case _:
                return run_commands.RecordOutcome(job_id, run_id, item.outcome, context)

    def _after_report(self, item: Finished, result: object) -> None:
        run_id = item.claimed.run.run_id
        if isinstance(result, RETRYABLE_ERRORS):
            self._run_pool.put_back(item)
            return
        if isinstance(result, Invalid):
            self._run_pool.put_back(Finished(item.claimed, _not_recordable(result)))
            return
        if isinstance(result, BaseException):
            log.warning("the outcome of run %s was not recorded: %s", run_id, result)
        if isinstance(item.outcome, Deferred):
            self._reaper.check_by(item.claimed.run.lease_until)
        self._executing.discard(run_id)
        self._instrumentation.run_ended(run_id, ended_of(item.outcome))

    def _after_claim(self, due: DueFire, result: object, now: datetime) -> None:
        if isinstance(result, Claimed):
            if due.item.cause == "fire" and not due.is_late:
                self.lag_seconds = (now - due.item.at).total_seconds()
                self._instrumentation.claimed(self.lag_seconds)
            self._executing.add(result.run.run_id)
            traceparent = self._instrumentation.run_began(result.job_id, result.run)
            self._run_pool.launch(
                replace(result, traceparent=traceparent) if traceparent else result
            )
        elif isinstance(result, RETRYABLE_ERRORS):
            self._ready.give_back([due])
        elif isinstance(result, BaseException):
            log.error("job %s could not be claimed: %s", due.item.job_id, result)
            self._ready.give_back([replace(due, release_at=now + REAP_EVERY)])

    def lose(self, runs: Sequence[Claimed], cause: str) -> None:
        """Record runs of this node as lost. Raises a LedgerError when the ledger could not commit
        that.
        """
        context = self._ledger.dispatcher_context()
        losses = [run_commands.LoseRun(one.job_id, one.run.run_id, cause, context) for one in runs]
        results = self._ledger.submit(losses).result()
        for one, result in zip(runs, results, strict=True):
            if result is True:
                self._instrumentation.run_ended(one.run.run_id, RunEnded("lost", "lost"))
        problem = next((result for result in results if isinstance(result, RETRYABLE_ERRORS)), None)
        if problem is not None:
            raise problem


@dataclass(frozen=True, slots=True)
class CycleWork:
    """The work of one cycle: outcomes to record, runs to end, items to claim."""

    finished: Sequence[Finished]
    lost: Sequence[AbandonedRun]
    dues: Sequence[DueFire]

    @property
    def is_empty(self) -> bool:
        return not (self.finished or self.lost or self.dues)


def _not_recordable(error: LedgerError) -> Failure:
    return Failure(f"The outcome could not be recorded: {error.message}", "other")
