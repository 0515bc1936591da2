"""Commands on runs: requests of dispatchers and workers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import (
    Command,
    CommandResult,
    FirstAnswer,
    JobCommand,
    RepeatableCommand,
    repeated_result,
    result_of,
)
from ledger.application.unit_of_work import UnitOfWork
from ledger.clock import microseconds
from ledger.domain.job import outcomes, runs
from ledger.domain.job.executor_spec import queue_of
from ledger.domain.job.job import Job
from ledger.domain.job.lifecycle import end_pause
from ledger.domain.job.state import OpenRun
from ledger.store.event_queries import EventQueries
from ledger.store.records import LeaseRow

Outcome = outcomes.Success | outcomes.Failure | str
"""How a run ended: a success, a failure, or the cause for which nothing was executed."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed run: what its executor needs, as of the claim."""

    job_id: UUID
    name: str
    task: str
    executor: dict[str, Any] | None
    timeout_seconds: float
    run: OpenRun
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimRun(Command[Claimed | None]):
    """Start what is due of a job, or end its pause. None when nothing is due any more, or when its
    runs are for workers.
    """

    job_id: UUID
    context: CommandContext
    node: str = field(kw_only=True)
    is_late: bool = field(kw_only=True)

    def execute(self, unit: UnitOfWork) -> Claimed | None:
        job = unit.job(self.job_id)
        if end_pause(job, self.context) or queue_of(job.executor) is not None:
            return None
        run = runs.start_due(job, runs.Claim(self.node, self.is_late), self.context)
        if run is None:
            return None
        timeout_seconds = job.parsed_policy.timeout_seconds
        return Claimed(job.id, job.name, job.task, job.executor, timeout_seconds, run)


@dataclass(frozen=True, slots=True)
class HandOutRun(RepeatableCommand[CommandResult | None]):
    """Start what is due of a job for a worker of `queue`, with a lease of its own. None when
    nothing is due any more, or the job is not in the queue any more.
    """

    job_id: UUID
    queue: str
    claim: runs.Claim
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> CommandResult | None:
        unit.require_unanswered(self.context)
        job = unit.job(self.job_id)
        before = job.version
        if queue_of(job.executor) != self.queue:
            return None
        run = runs.start_due(job, self.claim, self.context)
        if run is None:
            return None
        unit.add_side_row(_lease(job.id, run.run_id, run.lease_until))
        unit.remember_answer(self.context, job, before, status=200)
        return result_of(job, changed=True)

    def answer_again(self, first: FirstAnswer, queries: EventQueries) -> CommandResult:
        return repeated_result(first, queries)


@dataclass(frozen=True, slots=True)
class RecordOutcome(Command[None]):
    """Record how an open run of this node ended. Refuses RunSuperseded when another run is open."""

    job_id: UUID
    run_id: str
    outcome: Outcome
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> None:
        _record(unit, unit.job(self.job_id), self.run_id, self.outcome, self.context)


@dataclass(frozen=True, slots=True)
class ReportRun(JobCommand):
    """Record how a run ended that a worker or a target reports. Its duration counts from its start
    to now. Refuses RunSuperseded when another run is open.
    """

    job_id: UUID
    run_id: str
    outcome: outcomes.Success | outcomes.Failure
    context: CommandContext

    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        run = job.require_open(self.run_id)
        outcome = replace(self.outcome, duration_ms=_elapsed_ms(run, self.context.now))
        _record(unit, job, self.run_id, outcome, self.context)
        return True


@dataclass(frozen=True, slots=True)
class LoseRun(Command[bool]):
    """Record that an open run is lost. False when it ended meanwhile, or when a heartbeat has
    renewed its lease since it was found expired.
    """

    job_id: UUID
    run_id: str
    cause: str
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        job = unit.job(self.job_id)
        lease_end = unit.lease_end(self.run_id) or 0
        if not job.has_open(self.run_id) or lease_end > microseconds(self.context.now):
            return False
        outcomes.lose(job, self.run_id, self.cause, self.context)
        _end_lease(unit, job.id, self.run_id)
        return True


@dataclass(frozen=True, slots=True)
class DeferRun(Command[bool]):
    """A target took the run over and reports later: give it a lease of its own. False when it ended
    meanwhile.
    """

    job_id: UUID
    run_id: str
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        job = unit.job(self.job_id)
        if not job.has_open(self.run_id):
            return False
        lease = timedelta(seconds=job.parsed_policy.lease_seconds)
        unit.add_side_row(_lease(job.id, self.run_id, self.context.now + lease))
        return True


@dataclass(frozen=True, slots=True)
class ExtendLease(Command[datetime]):
    """A heartbeat: extend the lease of a run, and return its new end. Records no event.

    Never beyond the job's time-out. A run without a lease of its own depends on its node, and its
    end stays as it is. Refuses RunSuperseded when another run is open.
    """

    job_id: UUID
    run_id: str
    lease_seconds: float | None
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> datetime:
        job, now = unit.job(self.job_id), self.context.now
        run = job.require_open(self.run_id)
        if unit.lease_end(self.run_id) is None:
            return run.lease_until
        lease = timedelta(seconds=self.lease_seconds or job.parsed_policy.lease_seconds)
        deadline = run.started_at + timedelta(seconds=job.parsed_policy.timeout_seconds)
        until = max(now, min(now + lease, deadline))
        unit.add_side_row(_lease(job.id, self.run_id, until))
        return until


def _record(
    unit: UnitOfWork, job: Job, run_id: str, outcome: Outcome, context: CommandContext
) -> None:
    was_deleted = job.status == "deleted"
    match outcome:
        case outcomes.Success():
            outcomes.succeed(job, run_id, outcome, context)
        case outcomes.Failure():
            outcomes.fail(job, run_id, outcome, context)
        case str():
            outcomes.block(job, run_id, outcome, context)
    _end_lease(unit, job.id, run_id)
    if job.status == "deleted" and not was_deleted:
        unit.name(job.name).release(job.name, job.id, context)


def _elapsed_ms(run: OpenRun, now: datetime) -> int:
    """Milliseconds since the start; 0 when the clock was set back meanwhile."""
    return max(0, (now - run.started_at) // timedelta(milliseconds=1))


def _lease(job_id: UUID, run_id: str, until: datetime) -> LeaseRow:
    return LeaseRow(run_id, job_id, microseconds(until))


def _end_lease(unit: UnitOfWork, job_id: UUID, run_id: str) -> None:
    if unit.lease_end(run_id) is not None:
        unit.add_side_row(LeaseRow(run_id, job_id, None))
