"""Which jobs tripped in a storm, and which of them are still failed: what a recovery selects from.
The recovery itself decides about each job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ledger.domain.job.job import Job
from ledger.domain.recovery.selection import StormMembers, in_order_of_trips
from projections.models.storms.queries import find, number_of
from projections.stores.rows import RowReader

MAX_STORMS = 20
"""The newest storms that failed jobs are grouped by."""
TRIPPED = """
SELECT member.job_id, failure.version + 1 AS trip_version
FROM storm_members AS member LEFT JOIN storm_failures AS failure
    ON failure.storm = member.storm AND failure.job_id = member.job_id
    AND failure.tripped_position IS NOT NULL
WHERE member.storm = :number AND member.left_by = 'tripped'
"""
"""A trip comes right after the failure that caused it. A job that left the storm by a trip may have
tripped of another failure; then no failure of the storm caused it.
"""


class FailedInStorm(NamedTuple):
    """A storm, and the jobs that are still failed of it, the longest failed first."""

    storm: dict[str, Any]
    jobs: Sequence[Job]


def members(reader: RowReader, storm_id: str) -> StormMembers:
    """The jobs that left a storm by a trip, with their trips of it. Raises NotFound."""
    trips: dict[UUID, set[int]] = {}
    for row in reader.rows(TRIPPED, {"number": number_of(reader, storm_id)}):
        own = trips.setdefault(UUID(row["job_id"]), set())
        if row["trip_version"] is not None:
            own.add(int(row["trip_version"]))
    return StormMembers(storm_id, trips)


def group_by_storm(reader: RowReader, jobs: Sequence[Job], *, now: datetime) -> list[FailedInStorm]:
    """The storms that jobs are failed of, newest first. A job is failed of one at most."""
    failed = in_order_of_trips(jobs)
    storms, _ = find(reader, now=now, limit=MAX_STORMS if failed else 1)
    found = []
    for storm in storms:
        trips = members(reader, storm["id"]).trips
        of_storm = [job for job in failed if job.trip_version in trips.get(job.id, ())]
        if of_storm:
            found.append(FailedInStorm(storm, of_storm))
    return found
