"""How a run starts: claimed by an append, whatever the reason it is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from ledger.domain import events as e
from ledger.domain.event_context import EventContext
from ledger.domain.job.job import Job, is_interval_from_end
from ledger.domain.job.missed_slots import (
    MOMENT,
    missed_by_cause,
    record_all_but_last,
    unattended_cause,
)
from ledger.domain.job.state import OpenRun
from ledger.domain.schedule.recurrence import next_fire


def run_id_of(job_id: UUID, fence: int) -> str:
    """The id of the run whose `run_started` is version `fence` of the job."""
    return str(uuid5(job_id, str(fence)))


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims a run, and how. `is_late` marks a slot that was found long after its time
    (downtime). `lease_seconds` is the first lease; None means the policy's.
    """

    node: str
    is_late: bool = False
    lease_seconds: float | None = None


def start_due(job: Job, claim: Claim, context: EventContext) -> OpenRun | None:
    """Claim what is due now: a probe, a requested run, a slot or a retry. None when nothing is due
    any more. A late slot is caught up once, or skipped, as the policy says.
    """
    if job.open_run is not None or not job.enabled:
        return None
    if job.status == "failed" and job.probe_at is not None and job.probe_at <= context.now:
        return _start_probe(job, claim, context)
    if job.status != "active":
        return None
    if job.is_run_requested:
        return _start(job, "manual", context.now, claim, context)
    if job.next_run_at is None or job.next_run_at + job.parsed_policy.jitter(job.id) > context.now:
        return None
    trigger = _trigger(job, claim.is_late)
    is_skippable = trigger == "catch_up" and not job.is_one_shot
    if is_skippable and job.parsed_policy.catch_up == "none" and _skip_fires(job, context):
        return None
    if claim.is_late and trigger != "catch_up":
        _record_lateness(job, context)
    return _start(job, trigger, job.next_run_at, claim, context)


def _trigger(job: Job, is_late: bool) -> str:
    if job.attempts > 0 and not is_slot(job):
        return "retry"
    if job.awaits_first_run and not job.is_one_shot and not is_slot(job):
        return "manual"  # an instant that the operator named, between the slots of the schedule
    return "catch_up" if is_late else "schedule"


def is_slot(job: Job) -> bool:
    """Whether a job whose last run did not succeed is due by its schedule, not by backoff."""
    at = job.next_run_at
    if at is None or job.is_one_shot:
        return False
    if job.last_run is not None and job.last_run["status"] in ("lost", "blocked"):
        return True
    if is_interval_from_end(job.parsed_schedule):
        return job.attempts == 0
    return next_fire(job.parsed_schedule, after=at - MOMENT) == at


def _start_probe(job: Job, claim: Claim, context: EventContext) -> OpenRun | None:
    job.record(e.CircuitHalfOpened, context, run_id=run_id_of(job.id, job.version + 2))
    return _start(job, "probe", context.now, claim, context)


def _start(
    job: Job, trigger: str, scheduled_for: datetime, claim: Claim, context: EventContext
) -> OpenRun | None:
    fence = job.version + 1
    lease_seconds = claim.lease_seconds or job.parsed_policy.lease_seconds
    job.record(
        e.RunStarted,
        context,
        run_id=run_id_of(job.id, fence),
        fence=fence,
        scheduled_for=scheduled_for,
        trigger=trigger,
        attempt=job.attempts + 1 if trigger == "retry" else 1,
        node=claim.node,
        lease_until=context.now + timedelta(seconds=lease_seconds),
    )
    return job.open_run


def _skip_fires(job: Job, context: EventContext) -> bool:
    """Skip the slots that passed during downtime; False when what was late is not a slot."""
    missed = job.missed_slots(context.now, unattended_cause(job))
    if missed is None:
        return False
    job.record(e.FiresSkipped, context, missed=missed, next_run_at=job.next_slot(context.now))
    return True


def _record_lateness(job: Job, context: EventContext) -> None:
    """Record the slots that passed before a late run that is not a slot itself: unlike `catch_up`,
    its trigger does not say that it was late.
    """
    if job.is_one_shot or is_interval_from_end(job.parsed_schedule) or job.next_run_at is None:
        return
    stretches = [(job.next_run_at, "delayed"), (context.now, unattended_cause(job))]
    found = missed_by_cause(job, stretches)
    missed = record_all_but_last(job, found, context)
    if missed is not None:
        job.record(e.FiresSkipped, context, missed=missed, next_run_at=job.next_run_at)
