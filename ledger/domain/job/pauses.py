"""How a pause ends by itself: at its `until`, or as soon after as somebody dispatches."""

from __future__ import annotations

from datetime import datetime

from ledger.domain import events as e
from ledger.domain.job.job import Job
from ledger.domain.job.missed_slots import LATE, MOMENT, record_apart, told_apart, unattended
from ledger.domain.metadata import EventMetadata


def end_pause(job: Job, *, now: datetime, metadata: EventMetadata) -> bool:
    """Resume because `until` has come. False when the pause is not over, or there is none."""
    until = job.paused_until
    if job.status != "paused" or until is None or until > now:
        return False
    next_run_at = job.next_slot(now) if job.enabled else None
    if next_run_at is None and job.is_one_shot and job.enabled:
        return _catch_up_one_shot(job, now, metadata)
    is_late = now - until > LATE
    stretches = [(until - MOMENT, "paused"), (now, unattended(job) if is_late else "paused")]
    missed = record_apart(job, told_apart(job, stretches), now=now, metadata=metadata)
    job.record(e.Resumed, now, metadata, next_run_at=next_run_at, missed=missed)
    return True


def _catch_up_one_shot(job: Job, now: datetime, metadata: EventMetadata) -> bool:
    """Its instant passed while it was paused: one-shots are always run (DESIGN §10)."""
    if job.owed_from is None:
        return False
    job.record(e.Resumed, now, metadata, next_run_at=job.owed_from, missed=None)
    return True
