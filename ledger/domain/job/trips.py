"""What trips a breaker, and when it half-opens by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.domain import events as e
from ledger.domain.job.breaker import MAX_PROBE_WAIT
from ledger.domain.job.job import Job
from ledger.domain.metadata import EventMetadata


@dataclass(frozen=True, slots=True)
class Cause:
    """What trips a breaker."""

    failure_class: str
    signature: str
    error: str
    threshold: int
    doubles_wait: bool = True


def trip(job: Job, cause: Cause, now: datetime, metadata: EventMetadata) -> None:
    """Record that the breaker tripped. A failed probe trips it again, with a longer wait."""
    first = job.first_error_version
    job.record(
        e.CircuitTripped,
        now,
        metadata,
        consecutive_errors=job.consecutive_errors,
        threshold=cause.threshold,
        failure_class=cause.failure_class,
        signature=cause.signature,
        last_error=cause.error,
        first_error_position=job.position_of(first, job.first_error_position) if first else None,
        probe_at=_probe_at(job, now, doubles_wait=cause.doubles_wait),
    )


def _probe_at(job: Job, now: datetime, *, doubles_wait: bool) -> datetime | None:
    """When the breaker half-opens by itself: the policy's wait, doubled by every probe that failed
    (one that its node's end interrupted did not), at most 24 hours.
    """
    wait = job.parsed_policy.probe_after_seconds
    if wait is None:
        return None
    before = job.probe_wait_seconds if job.status == "failed" else 0.0
    longer = before * 2 if doubles_wait else before
    return now + min(timedelta(seconds=max(wait, longer)), MAX_PROBE_WAIT)
