"""Gaps that are still open: slots that jobs owe at a moment and no event has recorded by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import parse_rfc3339, rfc3339
from ledger.domain.job.job import Job
from ledger.domain.job.missed_slots import LATE, passed_over_so_far, unattended
from ledger.domain.schedule.recurrence import missed_fires, next_fire
from projections.models.gaps.queries import GapFilter
from projections.stores.contract import RowReader

STANDING_STILL = """
SELECT id, version FROM jobs
WHERE (status IN ('paused', 'failed') OR status = 'active' AND (
    enabled = 0 OR open_run_id IS NOT NULL OR next_run_at <= :now
))
AND (:job IS NULL OR id = :job)
AND (:tag IS NULL OR id IN (SELECT job_id FROM job_tags WHERE tag = :tag))
"""
"""The jobs that may miss slots; not one too few, perhaps some too many."""


def find(
    jobs: Iterable[Job], asked: GapFilter, *, now: datetime
) -> tuple[list[dict[str, Any]], int]:
    """The open gaps that the filter means, the oldest first and as many as its limit says, counted
    as of `now`; and how many there are. They have the shape of recorded ones, with nothing for what
    is not recorded.
    """
    asked.require_sound()
    found = [
        gap
        for job in jobs
        if _is_asked_for(job, asked)
        for gap in _gaps_of(job, now)
        if _reaches(gap, asked)
    ]
    found.sort(key=lambda gap: (gap["first"], gap["job_id"]))
    return found[: asked.limit], len(found)


def standing_still(
    questions: RowReader, asked: GapFilter, *, now: datetime
) -> list[tuple[UUID, int]]:
    """The ids and versions of those jobs asked for that may miss slots at an instant."""
    values = {"now": rfc3339(now), "job": str(asked.job) if asked.job else None, "tag": asked.tag}
    rows = questions.rows(STANDING_STILL, values)
    return [(UUID(row["id"]), int(row["version"])) for row in rows]


def _is_asked_for(job: Job, asked: GapFilter) -> bool:
    is_job = asked.job in (None, job.id)
    return is_job and (asked.tag is None or asked.tag in job.tags)


def _gaps_of(job: Job, now: datetime) -> Iterator[dict[str, Any]]:
    for missed in _owed(job, now):
        yield {
            "job_id": str(job.id),
            "job_name": job.name,
            **{key: missed[key] for key in ("cause", "count", "first", "last", "capped")},
            "position": None,
            "topic": None,
            "recorded_at": None,
        }


def _owed(job: Job, now: datetime) -> list[dict[str, Any]]:
    """What the job owes, by the causes with which it would be recorded if it ended now."""
    if job.may_fire and job.open_run is not None:
        return passed_over_so_far(job, job.open_run, now)
    cause = _cause(job, now)
    if cause is None:
        return []
    missed = _while_disabled(job, now) if cause == "disabled" else job.missed_slots(now, cause)
    return [missed] if missed is not None else []


def _cause(job: Job, now: datetime) -> str | None:
    """Why slots of the job go by at this moment; None when none does."""
    if job.status in ("completed", "deleted"):
        return None
    if job.status != "active":
        return job.status
    if not job.enabled:
        return "disabled"
    due_at = job.next_run_at
    if due_at is None or due_at + job.parsed_policy.jitter(job.id) + LATE > now:
        return None
    return unattended(job)


def _while_disabled(job: Job, now: datetime) -> dict[str, Any] | None:
    first = next_fire(job.parsed_schedule, after=job.settled_until)
    if first is None or first > now:
        return None
    missed = missed_fires(job.parsed_schedule, first=first, until=now, cause="disabled")
    return missed.plain() if missed is not None else None


def _reaches(gap: dict[str, Any], asked: GapFilter) -> bool:
    if asked.cause is not None and gap["cause"] != asked.cause:
        return False
    is_late_enough = asked.since is None or parse_rfc3339(gap["last"]) >= asked.since
    return is_late_enough and (asked.until is None or parse_rfc3339(gap["first"]) <= asked.until)
