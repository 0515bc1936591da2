"""The commands about runs: what dispatchers and workers ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import (
    CommandContext,
    CommandResult,
    on_job,
    remember_answer,
    repeated_answer,
)
from ledger.application.unit_of_work import UnitOfWork
from ledger.clock import microseconds
from ledger.domain.job import outcomes, runs
from ledger.domain.job.executor_spec import queue_of
from ledger.domain.job.job import Job
from ledger.domain.job.pauses import end_pause
from ledger.domain.job.state import OpenRun
from ledger.domain.job.view import view
from ledger.errors import RunSuperseded
from ledger.store.records import LeaseRow


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that has been claimed: what its executor needs, as it stood at the claim."""

    job_id: UUID
    name: str
    task: str
    executor: dict[str, Any] | None
    timeout_seconds: float
    run: OpenRun
    traceparent: str | None = None


Report = outcomes.Success | outcomes.Failure | str
"""How a run ended: a success, a failure, or the cause for which nothing was executed."""


def claim(
    job_id: UUID, call: CommandContext, *, node: str, is_late: bool
) -> Command[Claimed | None]:
    """Start what is due of a job, or end its pause. None when nothing is due any more, or when its
    runs are for workers.
    """

    def command(unit: UnitOfWork) -> Claimed | None:
        job = unit.job(job_id)
        if (
            end_pause(job, now=call.now, metadata=call.metadata)
            or queue_of(job.executor) is not None
        ):
            return None
        run = runs.start_due(job, runs.Claim(node, is_late), now=call.now, metadata=call.metadata)
        if run is None:
            return None
        return Claimed(
            job.id, job.name, job.task, job.executor, job.parsed_policy.timeout_seconds, run
        )

    return command


def hand_out(
    job_id: UUID, queue: str, claim: runs.Claim, call: CommandContext
) -> Command[CommandResult | None]:
    """Start what is due of a job for a worker of `queue`; the run lives by a lease of its own. None
    when nothing is due any more, or the job has left the queue.
    """

    def command(unit: UnitOfWork) -> CommandResult | None:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return repeated
        job = unit.job(job_id)
        before = job.version
        if queue_of(job.executor) != queue:
            return None
        run = runs.start_due(job, claim, now=call.now, metadata=call.metadata)
        if run is None:
            return None
        unit.add_side_row(_lease(job_id, run.run_id, run.lease_until))
        remember_answer(unit, job, before, call, status=200)
        return CommandResult(job_id, view(job), True, job.version)

    return command


def report(job_id: UUID, run_id: str, outcome: Report, call: CommandContext) -> Command[None]:
    """Record the outcome of an open run; refuses RunSuperseded when it is not the open one."""
    return lambda unit: _record(unit, unit.job(job_id), run_id, outcome, call)


def finish(
    job_id: UUID, run_id: str, outcome_of: Callable[[OpenRun], Report], call: CommandContext
) -> Command[CommandResult]:
    """The same as an answered command, for whoever reports from outside. `outcome_of` is asked of
    the run that is open.
    """

    def decide(unit: UnitOfWork, job: Job) -> bool:
        run = _require_open(job, run_id)
        _record(unit, job, run_id, outcome_of(run), call)
        return True

    return on_job(job_id, call, decide)


def _record(unit: UnitOfWork, job: Job, run_id: str, outcome: Report, call: CommandContext) -> None:
    was_deleted = job.status == "deleted"
    match outcome:
        case outcomes.Success():
            outcomes.succeed(job, run_id, outcome, now=call.now, metadata=call.metadata)
        case outcomes.Failure():
            outcomes.fail(job, run_id, outcome, now=call.now, metadata=call.metadata)
        case str():
            outcomes.block(job, run_id, outcome, now=call.now, metadata=call.metadata)
    _end_lease(unit, job.id, run_id)
    if job.status == "deleted" and not was_deleted:
        unit.name(job.name).release(job.name, job.id, now=call.now, metadata=call.metadata)


def lose(job_id: UUID, run_id: str, cause: str, call: CommandContext) -> Command[bool]:
    """Record that an open run is lost; False when it ended meanwhile, or lives on by a lease of its
    own: a heartbeat may come between the look that found it dead and this word.
    """

    def command(unit: UnitOfWork) -> bool:
        job = unit.job(job_id)
        lease_end = unit.lease_end(run_id) or 0
        if not _is_open(job, run_id) or lease_end > microseconds(call.now):
            return False
        outcomes.lose(job, run_id, cause, now=call.now, metadata=call.metadata)
        _end_lease(unit, job_id, run_id)
        return True

    return command


def defer(job_id: UUID, run_id: str, call: CommandContext) -> Command[bool]:
    """A target took the run over and reports later: from now on it lives by a lease of its own.
    False when it ended meanwhile.
    """

    def command(unit: UnitOfWork) -> bool:
        job = unit.job(job_id)
        if not _is_open(job, run_id):
            return False
        lease = timedelta(seconds=job.parsed_policy.lease_seconds)
        unit.add_side_row(_lease(job_id, run_id, call.now + lease))
        return True

    return command


def heartbeat(
    job_id: UUID, run_id: str, lease_seconds: float | None, call: CommandContext
) -> Command[datetime]:
    """Move the lease of a run; gives until when it lives now. No event: nothing happened.

    Never beyond what the job's time-out allows. A run without a lease of its own lives by its node,
    and keeps the one it has. Refuses RunSuperseded when the run is not the open one.
    """

    def command(unit: UnitOfWork) -> datetime:
        job = unit.job(job_id)
        run = _require_open(job, run_id)
        if unit.lease_end(run_id) is None:
            return run.lease_until
        lease = timedelta(seconds=lease_seconds or job.parsed_policy.lease_seconds)
        deadline = run.started_at + timedelta(seconds=job.parsed_policy.timeout_seconds)
        until = max(call.now, min(call.now + lease, deadline))
        unit.add_side_row(_lease(job_id, run_id, until))
        return until

    return command


def _require_open(job: Job, run_id: str) -> OpenRun:
    if job.open_run is None or job.open_run.run_id != run_id:
        raise RunSuperseded(run_id)
    return job.open_run


def _is_open(job: Job, run_id: str) -> bool:
    return job.open_run is not None and job.open_run.run_id == run_id


def _lease(job_id: UUID, run_id: str, until: datetime) -> LeaseRow:
    return LeaseRow(run_id, job_id, microseconds(until))


def _end_lease(unit: UnitOfWork, job_id: UUID, run_id: str) -> None:
    if unit.lease_end(run_id) is not None:
        unit.add_side_row(LeaseRow(run_id, job_id, None))
