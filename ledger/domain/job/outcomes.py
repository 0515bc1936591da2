"""How a run ends: by exactly one outcome, which is recorded as a decision of the job.

Outcomes never set the status by themselves: only an active job trips or completes, and a pause
during a run stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledger.domain import events as e
from ledger.domain.event_context import EventContext
from ledger.domain.job.failures import signature
from ledger.domain.job.job import Job
from ledger.domain.job.lifecycle import Cause, trip
from ledger.domain.job.missed_slots import NODE_ENDED, ORDINARY, MissedCauses, record_missed_slots
from ledger.domain.job.state import OpenRun
from ledger.domain.schedule.schedules import Cron

UNCOUNTED_LOSSES = ("owner_restarted", "shutdown")
PUT_OFF = MissedCauses(after="delayed")
"""A success resets the backoff: a slot before the next run was postponed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the executor reports of a run that failed. `target` is the host it called, if any."""

    error: str
    failure_class: str
    target: str | None = None
    retry_after: datetime | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Success:
    """What the executor reports of a run that succeeded. `output` is its first 4 KiB at most."""

    output: str
    output_bytes: int
    output_sha256: str
    duration_ms: int


def succeed(job: Job, run_id: str, success: Success, context: EventContext) -> None:
    """Record that the open run succeeded. A one-shot completes; a probe closes the breaker."""
    run = job.require_open(run_id)
    is_probe = job.status == "failed" and run.trigger == "probe"
    may_go_on = job.may_fire or (is_probe and job.enabled)
    fire = _next_after_success(job, run, context.now) if may_go_on else None
    missed = None if is_probe else record_missed_slots(job, run, fire, context, PUT_OFF)
    job.record(
        e.RunSucceeded,
        context,
        run_id=run_id,
        duration_ms=success.duration_ms,
        output=success.output,
        output_bytes=success.output_bytes,
        output_sha256=success.output_sha256,
        next_run_at=None if is_probe else fire,
        missed=missed,
    )
    if is_probe:
        job.record(
            e.CircuitClosed,
            context,
            run_id=run_id,
            next_run_at=fire,
            missed=job.missed_slots(context.now, "failed"),
        )
    _complete_if_done(job, fire, context)


def fail(job: Job, run_id: str, failure: Failure, context: EventContext) -> None:
    """Record that the open run failed. Counts the error, backs off, and trips an active job at its
    threshold.
    """
    run = job.require_open(run_id)
    is_counted = job.parsed_policy.counts_toward_streak(failure.failure_class)
    streak = job.consecutive_errors + is_counted
    does_trip = job.status == "active" and is_counted and streak >= job.parsed_policy.trip_after
    may_go_on = job.may_fire and not does_trip
    next_run_at = (
        _next_after_failure(job, run, failure.retry_after, context.now) if may_go_on else None
    )
    fingerprint = signature(
        failure.failure_class, target=failure.target, message=failure.error, job_name=job.name
    )
    missed = record_missed_slots(job, run, next_run_at, context)
    job.record(
        e.RunFailed,
        context,
        run_id=run_id,
        duration_ms=failure.duration_ms,
        error=failure.error,
        failure_class=failure.failure_class,
        signature=fingerprint,
        retry_after=failure.retry_after,
        consecutive_errors=streak,
        next_run_at=next_run_at,
        missed=missed,
    )
    if does_trip or _is_failed_probe(job, run):
        cause = Cause(
            failure.failure_class, fingerprint, failure.error, job.parsed_policy.trip_after
        )
        trip(job, cause, context)


def lose(job: Job, run_id: str, cause: str, context: EventContext) -> None:
    """Record that the end of the open run is unknown. A job that loses its node repeatedly trips
    too.
    """
    run = job.require_open(run_id)
    is_counted = cause not in UNCOUNTED_LOSSES
    losses = job.consecutive_losses + is_counted
    does_trip = job.status == "active" and is_counted and losses >= job.parsed_policy.max_losses
    next_run_at = None if does_trip else _next_without_result(job, context.now)
    causes = MissedCauses(during="downtime") if cause in NODE_ENDED else ORDINARY
    missed = record_missed_slots(job, run, next_run_at, context, causes)
    job.record(
        e.RunLost,
        context,
        run_id=run_id,
        node=run.node,
        lease_until=run.lease_until,
        cause=cause,
        consecutive_losses=losses,
        next_run_at=next_run_at,
        missed=missed,
    )
    if does_trip or _is_failed_probe(job, run):
        error = (
            f"The run was lost ({cause}) {losses} times in a row."
            if losses
            else f"The run was lost ({cause})."
        )
        lost_as = signature("lost", target=None, message=cause, job_name=job.name)
        lost = Cause("lost", lost_as, error, job.parsed_policy.max_losses, doubles_wait=is_counted)
        trip(job, lost, context)


def block(job: Job, run_id: str, cause: str, context: EventContext) -> None:
    """Record that nothing was executed, and why. Never counts as an error."""
    run = job.require_open(run_id)
    next_run_at = _next_without_result(job, context.now)
    missed = record_missed_slots(job, run, next_run_at, context)
    job.record(
        e.RunBlocked,
        context,
        run_id=run_id,
        cause=cause,
        next_run_at=next_run_at,
        missed=missed,
    )
    if _is_failed_probe(job, run):
        blocked_as = signature("blocked", target=None, message=cause, job_name=job.name)
        trip(job, Cause("blocked", blocked_as, cause, job.parsed_policy.trip_after), context)


# -- parts --------------------------------------------------------------------------------------


def _next_after_success(job: Job, run: OpenRun, now: datetime) -> datetime | None:
    is_untouched = run.trigger == "manual" and job.attempts == 0
    if is_untouched and job.next_run_at is not None and job.next_run_at > now:
        return job.next_run_at
    return job.next_slot(now)


def _next_after_failure(
    job: Job, run: OpenRun, retry_after: datetime | None, now: datetime
) -> datetime:
    is_appointed = job.is_one_shot and run.trigger == "manual"
    if is_appointed and job.next_run_at is not None and job.next_run_at > now:
        return job.next_run_at
    at = now + job.parsed_policy.backoff(job.attempts + 1)
    if isinstance(job.parsed_schedule, Cron):
        fire = job.next_slot(now)
        at = min(at, fire) if fire else at
    return max(at, retry_after) if retry_after else at


def _next_without_result(job: Job, now: datetime) -> datetime | None:
    """After a loss or a block: a one-shot retries by backoff, a recurring job waits for its next
    slot.
    """
    if not job.may_fire:
        return None
    backed_off = now + job.parsed_policy.backoff(job.attempts + 1)
    return backed_off if job.is_one_shot else job.next_slot(now) or backed_off


def _is_failed_probe(job: Job, run: OpenRun) -> bool:
    return job.status == "failed" and run.trigger == "probe"


def _complete_if_done(job: Job, fire: datetime | None, context: EventContext) -> None:
    if job.status != "active" or not job.enabled:
        return
    if fire is None or job.delete_after_run:
        job.record(e.Completed, context)
    if job.delete_after_run:
        job.record(e.Deleted, context)
