"""One storm whole: its course, its jobs, the notices about it, and the fires missed so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from projections.filters.as_of import AsOf
from projections.history.history import History
from projections.models.storms import aftermath
from projections.models.storms import queries as storm_queries
from projections.stores.rows import RowReader


def storm_detail(
    reader: RowReader, history: History, storm_id: str, *, now: datetime, as_of: AsOf | None
) -> dict[str, Any]:
    """The storm at `now`, or at the point in the past that the reader reads. Raises NotFound.

    `fires_lost` counts the slots that its tripped jobs missed until they were resumed, and, of jobs
    that are still failed, until the instant of the query; `at_least` when a job missed more than
    are counted.
    """
    found = storm_queries.one(reader, storm_id, now=now)
    number = storm_queries.number_of(reader, storm_id)
    count, is_capped = aftermath.lost(reader, number)
    losing = aftermath.still_losing(reader, number)
    notices = aftermath.notices(reader, number)
    position = None if as_of is None else as_of.position
    open_count, is_open_capped = _still_missed(history, losing, now, position)
    lost = {
        "count": count + open_count,
        "still_failed_jobs": len(losing),
        "at_least": is_capped or is_open_capped,
    }
    return {**found, "fires_lost": lost, "told": notices}


def _still_missed(
    history: History, job_ids: Sequence[str], now: datetime, position: int | None
) -> tuple[int, bool]:
    missed = [_missed_by(history, UUID(job_id), now, position) for job_id in job_ids]
    return sum(count for count, _ in missed), any(is_capped for _, is_capped in missed)


def _missed_by(
    history: History, job_id: UUID, now: datetime, position: int | None
) -> tuple[int, bool]:
    job = history.state(job_id, history.version_at(job_id, position))
    missed = job.missed_slots(now, "failed") if job.status == "failed" else None
    return (missed["count"], missed["capped"]) if missed else (0, False)
