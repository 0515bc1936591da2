"""What trips a breaker, and when it half-opens automatically."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from ledger.domain import events as e
from ledger.domain.event_context import EventContext
from ledger.domain.job.breaker import MAX_PROBE_WAIT
from ledger.domain.job.job import Job
from ledger.domain.job.missed_slots import (
    LATE,
    MOMENT,
    missed_by_cause,
    record_all_but_last,
    unattended_cause,
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What trips a breaker."""

    failure_class: str
    signature: str
    error: str
    threshold: int
    doubles_wait: bool = True


def trip(job: Job, cause: Cause, context: EventContext) -> None:
    """Record that the breaker tripped. A failed probe trips it again, with a longer wait."""
    first = job.first_error_version
    job.record(
        e.CircuitTripped,
        context,
        consecutive_errors=job.consecutive_errors,
        threshold=cause.threshold,
        failure_class=cause.failure_class,
        signature=cause.signature,
        last_error=cause.error,
        first_error_position=job.position_of(first, job.first_error_position) if first else None,
        probe_at=_probe_at(job, context.now, doubles_wait=cause.doubles_wait),
    )


def _probe_at(job: Job, now: datetime, *, doubles_wait: bool) -> datetime | None:
    """When the breaker half-opens automatically: the policy's wait, doubled for every failed probe
    (a probe that ended with its node does not count), at most 24 hours.
    """
    wait = job.parsed_policy.probe_after_seconds
    if wait is None:
        return None
    before = job.probe_wait_seconds if job.status == "failed" else 0.0
    longer = before * 2 if doubles_wait else before
    return now + min(timedelta(seconds=max(wait, longer)), MAX_PROBE_WAIT)


def end_pause(job: Job, context: EventContext) -> bool:
    """Resume because `until` has passed. False when the pause is not over, or there is none."""
    until = job.paused_until
    if job.status != "paused" or until is None or until > context.now:
        return False
    next_run_at = job.next_slot(context.now) if job.enabled else None
    if next_run_at is None and job.is_one_shot and job.enabled:
        return _catch_up_one_shot(job, context)
    is_late = context.now - until > LATE
    stretches = [
        (until - MOMENT, "paused"),
        (context.now, unattended_cause(job) if is_late else "paused"),
    ]
    missed = record_all_but_last(job, missed_by_cause(job, stretches), context)
    job.record(e.Resumed, context, next_run_at=next_run_at, missed=missed)
    return True


def _catch_up_one_shot(job: Job, context: EventContext) -> bool:
    """Its instant passed while it was paused: one-shots are always run."""
    if job.owed_from is None:
        return False
    job.record(e.Resumed, context, next_run_at=job.owed_from, missed=None)
    return True


@dataclass(frozen=True, slots=True)
class Delivery:
    """One result delivered, or not; `outcome` is the channel's answer in one line."""

    run_id: str
    channel: str
    target: str | None
    is_delivered: bool
    outcome: str


def record_delivery(job: Job, delivery: Delivery, context: EventContext) -> None:
    """Record how a delivery went. Changes neither status nor revision; a deleted job accepts it
    too.
    """
    fields = asdict(delivery)
    job.record(e.Delivered if fields.pop("is_delivered") else e.DeliveryFailed, context, **fields)
