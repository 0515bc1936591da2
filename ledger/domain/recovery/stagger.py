"""When the jobs of a recovery are resumed, and how many fires a minute that makes, compared with
resuming all at once.

A forecast: it assumes that every run ends at once and succeeds, and that the probe is done before
the next job's step.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from uuid import UUID

from ledger.domain.job.breaker import Policy
from ledger.domain.job.job import Job
from ledger.domain.recovery.plan import Terms
from ledger.domain.schedule.recurrence import next_fire
from ledger.domain.schedule.schedules import Schedule

MINUTE = timedelta(minutes=1)
SHORTEST_WINDOW = timedelta(minutes=60)
LONGEST_WINDOW = timedelta(hours=24)
MAX_FIRES = 50_000
"""Fires that are counted; a window with more ends earlier."""


@dataclass(frozen=True, slots=True)
class ResumingJob:
    """One job that is about to be resumed: its name and schedule, and when it fires."""

    job_id: UUID
    name: str
    schedule: Schedule
    policy: Policy
    jitter: timedelta
    tripped_at: datetime | None
    failure_class: str | None

    @classmethod
    def of(cls, job: Job) -> ResumingJob:
        return cls(
            job.id,
            job.name,
            job.parsed_schedule,
            job.parsed_policy,
            job.parsed_policy.jitter(job.id),
            job.tripped_at,
            job.trip_class,
        )


@dataclass(frozen=True, slots=True)
class ResumeStep:
    """When a job is resumed, and when it fires first (None: never)."""

    job: ResumingJob
    place: int
    step_at: datetime
    first_fire_at: datetime | None


@dataclass(frozen=True, slots=True)
class FireForecast:
    """Fires a minute from one instant until before another, if all are resumed at once, and
    staggered; and the most first fires in one minute, at any time. Later fires follow the
    schedules, which a recovery does not stagger.
    """

    begins_at: datetime
    ends_at: datetime
    at_once: Counter[datetime]
    staggered: Counter[datetime]
    first_at_once_peak: int
    first_staggered_peak: int


def steps_of(jobs: Sequence[ResumingJob], terms: Terms, now: datetime) -> list[ResumeStep]:
    """Every job's step, in their order, if the recovery begins now."""
    return [step_of(job, place, terms, now) for place, job in enumerate(jobs)]


def step_of(job: ResumingJob, place: int, terms: Terms, now: datetime) -> ResumeStep:
    """One job's step, if the recovery begins now."""
    shift = place * terms.interval
    step_at = now + shift
    if place == 0 and terms.probe is not None:
        return ResumeStep(job, place, step_at, step_at)
    slot = next_fire(job.schedule, after=step_at)
    return ResumeStep(job, place, step_at, slot + shift if slot is not None else None)


def fire_forecast_of(steps: Sequence[ResumeStep], now: datetime) -> FireForecast:
    """The load on a dispatcher: for the next hour, or until the last of them has fired, at most a
    day.
    """
    begins_at = now.replace(second=0, microsecond=0)
    firsts = [step.first_fire_at + step.job.jitter for step in steps if step.first_fire_at]
    last = max(firsts, default=now) + MINUTE
    ends_at = min(max(last, now + SHORTEST_WINDOW), now + LONGEST_WINDOW)
    ends_at = ends_at.replace(second=0, microsecond=0)
    at_once, first_end = _counted((_at_once(step, now) for step in steps), ends_at)
    staggered, second_end = _counted((_staggered(step) for step in steps), ends_at)
    ends_at = min(first_end, second_end)
    return FireForecast(
        begins_at,
        ends_at,
        _until(at_once, ends_at),
        _until(staggered, ends_at),
        _peak(next(_at_once(step, now), None) for step in steps),
        _peak(next(_staggered(step), None) for step in steps),
    )


def _peak(fires: Iterable[datetime | None]) -> int:
    minutes = Counter(at.replace(second=0, microsecond=0) for at in fires if at is not None)
    return max(minutes.values(), default=0)


def _at_once(step: ResumeStep, now: datetime) -> Iterator[datetime]:
    at = next_fire(step.job.schedule, after=now)
    while at is not None:
        yield at + step.job.jitter
        at = next_fire(step.job.schedule, after=at)


def _staggered(step: ResumeStep) -> Iterator[datetime]:
    at = step.first_fire_at
    while at is not None:
        yield at + step.job.jitter
        at = next_fire(step.job.schedule, after=at)


def _counted(
    fires: Iterable[Iterator[datetime]], ends_at: datetime
) -> tuple[Counter[datetime], datetime]:
    """Fires by minute, and until when they are complete."""
    counts: Counter[datetime] = Counter()
    merged = takewhile(lambda at: at < ends_at, heapq.merge(*fires))
    for number, at in enumerate(merged):
        minute = at.replace(second=0, microsecond=0)
        if number == MAX_FIRES:
            return counts, minute
        counts[minute] += 1
    return counts, ends_at


def _until(counts: Counter[datetime], ends_at: datetime) -> Counter[datetime]:
    return Counter({minute: count for minute, count in counts.items() if minute < ends_at})
