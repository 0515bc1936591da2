"""Whether a recovery can abort in time, before its last job is resumed.

It aborts when a number of jobs has tripped again, and a breaker trips after as many errors as its
policy says, each after a wait. If all jobs are resumed before that, the limit stops nothing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.stagger import ResumeStep, ResumingJob, step_of
from ledger.domain.schedule.recurrence import next_fire
from ledger.domain.schedule.schedules import Cron

MAX_ERRORS = 100
"""Errors in a row that are calculated: a job that needs more of them to trip counts as never
tripping.
"""
SLOWER = (300, 120, 60, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1)
"""Lower rates that are tried when the requested one is too fast."""


@dataclass(frozen=True, slots=True)
class AbortCheck:
    """What can stop a recovery in time. `text` explains it where its limit cannot."""

    can_stop_in_time: bool
    text: str | None


def abort_check_of(jobs: Sequence[ResumingJob], terms: Terms, now: datetime) -> AbortCheck:
    """Whether the probe, or jobs that trip again, can end a recovery that begins now before the
    last job is resumed; assumes the earliest case, that each run fails at once.
    """
    if len(jobs) < 2:
        return AbortCheck(False, None)
    has_probe = terms.probe is not None
    if terms.abort_on is None or trips_in_time(jobs, terms, now):
        return AbortCheck(has_probe or terms.abort_on is not None, None)
    count = "one" if terms.abort_on == 1 else str(terms.abort_on)
    late = f"all jobs are resumed before {count} can trip again"
    if has_probe:
        return AbortCheck(True, f"Once the probe has succeeded, {late}.")
    slower = _slower(jobs, terms, now)
    rate = f", or a rate of {slower:g} a minute," if slower is not None else ""
    return AbortCheck(False, f"{late.capitalize()}: a probe{rate} could stop it in time.")


def trips_in_time(jobs: Sequence[ResumingJob], terms: Terms, now: datetime) -> bool:
    """Whether as many as `abort_on` can trip again before the last job is resumed."""
    count = terms.abort_on
    if count is None or count >= len(jobs):
        return False
    last_at = now + (len(jobs) - 1) * terms.interval
    trips: list[datetime] = []
    for index, job in enumerate(jobs):
        step = step_of(job, index, terms, now)
        if len(trips) >= count and trips[count - 1] <= step.step_at:
            break  # a job that is resumed later cannot trip earlier
        trip_at = earliest_trip(step, last_at)
        if trip_at is not None:
            insort(trips, trip_at)
    return len(trips) >= count


def earliest_trip(step: ResumeStep, before: datetime) -> datetime | None:
    """When a job trips again if each of its runs fails at once; None when not before an instant."""
    at, policy = step.first_fire_at, step.job.policy
    if at is None or not policy.counts or policy.trip_after > MAX_ERRORS:
        return None
    at += step.job.jitter
    for errors in range(1, policy.trip_after):
        if at >= before:
            return None
        at = _next_attempt(step.job, at, errors)
    return at if at < before else None


def _next_attempt(job: ResumingJob, failed_at: datetime, errors: int) -> datetime:
    """By backoff; for cron the earlier of that and the next fire."""
    at = failed_at + job.policy.backoff(errors)
    slot = next_fire(job.schedule, after=failed_at) if isinstance(job.schedule, Cron) else None
    return min(at, slot) if slot is not None else at


def _slower(jobs: Sequence[ResumingJob], terms: Terms, now: datetime) -> float | None:
    rates = (rate for rate in SLOWER if rate < terms.rate_per_minute)
    slower = (replace(terms, rate_per_minute=rate) for rate in rates)
    found = next((one for one in slower if trips_in_time(jobs, one, now)), None)
    return found.rate_per_minute if found is not None else None
