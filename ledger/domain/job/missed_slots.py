"""The slots that passed without a start, and why: no node or worker was available, the start was
delayed, a run was under way, or the next run was postponed.

An event records one cause. Where slots passed for several causes, the earlier ones are recorded
right before it, so that every slot has the cause of its time (decision 34).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ledger.domain import events as e
from ledger.domain.event_context import EventContext
from ledger.domain.job.executor_spec import queue_of
from ledger.domain.job.job import Job, is_interval_from_end
from ledger.domain.job.state import OpenRun
from ledger.domain.schedule.recurrence import missed_fires, next_fire

MOMENT = timedelta(microseconds=1)
LATE = timedelta(seconds=30)
"""A slot noticed so long after its time is caught up, or skipped, as the job's policy says."""
NODE_ENDED = ("lease_expired", "owner_restarted")
"""Causes of a lost run that mean its node was gone, at an unknown instant."""
Missed = dict[str, Any] | None
Stretch = tuple[datetime, str]
"""Until when, and why, slots started no run."""


@dataclass(frozen=True, slots=True)
class MissedCauses:
    """Why slots started no run: `during` the run, and `after` it, before the next one."""

    during: str = "overlap"
    after: str = "backoff"


ORDINARY = MissedCauses()


def record_missed_slots(
    job: Job,
    run: OpenRun,
    next_run_at: datetime | None,
    context: EventContext,
    causes: MissedCauses = ORDINARY,
) -> Missed:
    """The slots from the open run, which ends now, to the next one. Slots that pass after a pause
    or a trip are recorded by the resume.
    """
    now = context.now
    until = max(now, next_run_at - MOMENT) if next_run_at else job.stopped_at or now
    found = _around(job, run, [(min(now, until), causes.during), (until, causes.after)])
    if len(found) > 1 and job.status == "deleted":
        # Nothing but this outcome may follow the deletion, and one event has one cause.
        found = missed_by_cause(job, [(until, causes.during)])
    return record_all_but_last(job, found, context)


def missed_so_far(job: Job, run: OpenRun, now: datetime) -> list[dict[str, Any]]:
    """The slots that passed during the open run so far, by their causes."""
    return _around(job, run, [(now, "overlap")])


def missed_by_cause(job: Job, stretches: Sequence[Stretch]) -> list[dict[str, Any]]:
    """The missed slots of a job up to the end of the last stretch, by their causes."""
    found: list[dict[str, Any]] = []
    first = job.first_missed()
    for number, (until, cause) in enumerate(stretches):
        if cause in (following for _, following in stretches[number + 1 : number + 2]):
            continue
        if first is None or first > until:
            continue
        missed = missed_fires(job.parsed_schedule, first=first, until=until, cause=cause)
        found += [missed.plain()] if missed is not None else []
        first = next_fire(job.parsed_schedule, after=until)
    return found


def record_all_but_last(job: Job, found: Sequence[dict[str, Any]], context: EventContext) -> Missed:
    """Record missed slots except those of the last cause: they are the `missed` of the next
    event.
    """
    for missed in found[:-1]:
        job.record(e.FiresSkipped, context, missed=missed, next_run_at=job.next_run_at)
    return found[-1] if found else None


def unattended_cause(job: Job) -> str:
    """Why slots pass while no run is claimed: no worker on its queue, or no dispatcher."""
    return "no_worker" if queue_of(job.executor) is not None else "downtime"


def _around(job: Job, run: OpenRun, stretches: list[Stretch]) -> list[dict[str, Any]]:
    """The slots before a run began and in the stretches that follow. An interval that counts from
    the end of its run only misses what passed before a late run began.
    """
    if job.is_one_shot:
        return []
    if is_interval_from_end(job.parsed_schedule):
        return _before_a_late_start(job, run)
    begin = min(run.started_at, stretches[-1][0])
    return missed_by_cause(job, [(begin, _before(job, run)), *stretches])


def _before(job: Job, run: OpenRun) -> str:
    """Why slots before the run began started no run: nothing claimed it, or its start was delayed.
    Slots before a late retry were recorded when it started.
    """
    if run.trigger == "manual":
        due_at = job.next_run_at  # of the slot that was due when a run was requested
        is_late = (
            due_at is not None and due_at + job.parsed_policy.jitter(job.id) + LATE < run.started_at
        )
    else:
        is_late = run.trigger == "catch_up" or queue_of(job.executor) is not None
    return unattended_cause(job) if is_late else "delayed"


def _before_a_late_start(job: Job, run: OpenRun) -> list[dict[str, Any]]:
    first = next_fire(job.parsed_schedule, after=run.scheduled_for)
    if run.trigger != "catch_up" or first is None or first > run.started_at:
        return []
    cause = unattended_cause(job)
    missed = missed_fires(job.parsed_schedule, first=first, until=run.started_at, cause=cause)
    return [missed.plain()] if missed else []
