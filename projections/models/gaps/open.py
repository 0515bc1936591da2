"""Open gaps: slots that jobs have missed by an instant, and that no event has recorded by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import parse_rfc3339, rfc3339
from ledger.domain.job.job import Job
from ledger.domain.job.missed_slots import LATE, missed_so_far, unattended_cause
from ledger.domain.schedule.recurrence import missed_fires, next_fire
from projections.models.gaps.model import GapFilter
from projections.stores.rows import RowReader

MAY_MISS = """
SELECT id, version FROM jobs
WHERE (status IN ('paused', 'failed') OR status = 'active' AND (
    enabled = 0 OR open_run_id IS NOT NULL OR next_run_at <= :now
))
AND (:job IS NULL OR id = :job)
AND (:tag IS NULL OR id IN (SELECT job_id FROM job_tags WHERE tag = :tag))
"""
"""The jobs that may miss slots: all that do, and perhaps some that do not."""


def find(
    jobs: Iterable[Job], filters: GapFilter, *, now: datetime
) -> tuple[list[dict[str, Any]], int]:
    """The open gaps that match at `now`, oldest first, up to the filter's limit; and how many there
    are. They have the shape of recorded ones, with null for what only an event has.
    """
    filters.require_sound()
    found = [
        gap
        for job in jobs
        if _matches(job, filters)
        for gap in _gaps_of(job, now)
        if _reaches(gap, filters)
    ]
    found.sort(key=lambda gap: (gap["first"], gap["job_id"]))
    return found[: filters.limit], len(found)


def candidates(reader: RowReader, filters: GapFilter, *, now: datetime) -> list[tuple[UUID, int]]:
    """The ids and versions of the matching jobs that may miss slots at an instant."""
    job = str(filters.job) if filters.job else None
    rows = reader.rows(MAY_MISS, {"now": rfc3339(now), "job": job, "tag": filters.tag})
    return [(UUID(row["id"]), int(row["version"])) for row in rows]


def _matches(job: Job, filters: GapFilter) -> bool:
    return filters.job in (None, job.id) and (filters.tag is None or filters.tag in job.tags)


def _gaps_of(job: Job, now: datetime) -> Iterator[dict[str, Any]]:
    for missed in _missed(job, now):
        yield {
            "job_id": str(job.id),
            "job_name": job.name,
            **{key: missed[key] for key in ("cause", "count", "first", "last", "capped")},
            "position": None,
            "topic": None,
            "recorded_at": None,
        }


def _missed(job: Job, now: datetime) -> list[dict[str, Any]]:
    """The job's missed slots, by the causes that would be recorded if the gap ended now."""
    if job.may_fire and job.open_run is not None:
        return missed_so_far(job, job.open_run, now)
    cause = _cause(job, now)
    if cause is None:
        return []
    missed = _while_disabled(job, now) if cause == "disabled" else job.missed_slots(now, cause)
    return [missed] if missed is not None else []


def _cause(job: Job, now: datetime) -> str | None:
    """Why the job misses slots at an instant; None when it misses none."""
    if job.status in ("completed", "deleted"):
        return None
    if job.status != "active":
        return job.status
    if not job.enabled:
        return "disabled"
    due_at = job.next_run_at
    if due_at is None or due_at + job.parsed_policy.jitter(job.id) + LATE > now:
        return None
    return unattended_cause(job)


def _while_disabled(job: Job, now: datetime) -> dict[str, Any] | None:
    first = next_fire(job.parsed_schedule, after=job.settled_until)
    if first is None or first > now:
        return None
    missed = missed_fires(job.parsed_schedule, first=first, until=now, cause="disabled")
    return missed.plain() if missed is not None else None


def _reaches(gap: dict[str, Any], filters: GapFilter) -> bool:
    if filters.cause is not None and gap["cause"] != filters.cause:
        return False
    is_late_enough = filters.since is None or parse_rfc3339(gap["last"]) >= filters.since
    return is_late_enough and (
        filters.until is None or parse_rfc3339(gap["first"]) <= filters.until
    )
