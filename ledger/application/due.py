"""What wakes a job next, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.clock import EPOCH
from ledger.domain.job.job import Job

UNPAUSE = "unpause"


@dataclass(frozen=True, slots=True, order=True)
class DueItem:
    """When a job next needs the dispatcher, and why: request, fire, unpause or probe."""

    at: datetime
    cause: str
    job_id: UUID


def due_item_of(job: Job) -> DueItem | None:
    """What wakes a job next, or None while nothing will: a run is open, or it does not fire."""
    if job.open_run is not None:
        return None
    if job.status == "paused" and job.paused_until is not None:
        return DueItem(job.paused_until, UNPAUSE, job.id)
    if not job.enabled:
        return None
    if job.status == "failed" and job.probe_at is not None:
        return DueItem(job.probe_at, "probe", job.id)
    if job.status != "active":
        return None
    if job.is_run_requested:
        return DueItem(EPOCH, "request", job.id)
    return (
        DueItem(job.next_run_at + job.parsed_policy.jitter(job.id), "fire", job.id)
        if job.next_run_at
        else None
    )
