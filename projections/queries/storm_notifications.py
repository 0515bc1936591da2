"""Storms as the notifier needs them, from the read models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from ledger.clock import from_microseconds, microseconds
from ledger.dispatch.notifications.storm_source import StormNotice
from ledger.domain.recovery.selection import StormMembers
from projections.models.storms import model as storms
from projections.models.storms.members import members
from projections.models.storms.queries import SHOWN, over_at
from projections.read_models import ReadModels
from projections.stores.rows import Row, RowReader

RECENT = timedelta(days=7)
"""No notice is sent about a storm whose last failure is longer ago."""
MAX_STORMS = 200
"""Storms read at once; with more of them in a week, notices come later, or not at all."""

RECENT_STORMS = f"""
{SHOWN} WHERE opened_position > :after AND last_failed_at > :since ORDER BY number LIMIT :limit
"""
MEMBERS = """
SELECT COALESCE(jobs.name, failure.job_id) AS name,
    MIN(failure.position) AS first_position, MAX(failure.position) AS last_position
FROM storm_failures AS failure LEFT JOIN jobs ON jobs.id = failure.job_id
WHERE failure.storm = :number GROUP BY failure.job_id, jobs.name
ORDER BY first_position
"""
"""The model of jobs may have stopped before this one: then ids are shown as names."""
TAKEN = """
SELECT 1 AS found FROM storm_failures
WHERE job_id = :job_id AND version = :version AND storm <> 0
"""


class StormNotifications:
    """See `ledger.dispatch.notifications.storm_source.StormSource`."""

    def __init__(self, read_models: ReadModels) -> None:
        self._read_models = read_models

    def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:
        """The storms of the last days that opened after a position, oldest first, as far as the
        read models are.
        """
        values = {"after": after, "since": microseconds(now - RECENT), "limit": MAX_STORMS}
        with self._read_models.reading() as reader:
            return [_notice(reader, row, now) for row in reader.rows(RECENT_STORMS, values)]

    def has_failure(self, job_id: UUID, version: int, *, position: int) -> bool:
        """Whether a storm has taken the failure at a version of a job. Raises Behind while the
        model of storms has not reached the position.
        """
        self._read_models.wait_for(position, needs=(storms.NAME,))
        with self._read_models.reading() as reader:
            found = reader.row(TAKEN, {"job_id": str(job_id), "version": version})
        return found is not None

    def members(self, storm_id: str) -> StormMembers:
        """The jobs that tripped in a storm, for its recovery. Raises NotFound."""
        with self._read_models.reading() as reader:
            return members(reader, storm_id)


def _notice(reader: RowReader, row: Row, now: datetime) -> StormNotice:
    jobs = reader.rows(MEMBERS, {"number": row["number"]})
    ended_at = over_at(row, microseconds(now))
    may_return = microseconds(now) - int(row["last_failed_at"]) <= storms.WINDOW
    return StormNotice(
        id=f"S-{row['number']}",
        signature=row["signature"],
        failure_class=row["failure_class"],
        first_failed_at=from_microseconds(row["first_failed_at"]),
        last_failed_at=from_microseconds(row["last_failed_at"]),
        first_position=row["number"],
        last_position=max(job["last_position"] for job in jobs),
        is_final=ended_at is not None and not may_return,
        failure_count=int(row["failure_count"]),
        trip_count=int(row["trip_count"]),
        job_names=[job["name"] for job in jobs],
    )
