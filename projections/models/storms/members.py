"""Who tripped in a storm: what the copies propose to a recovery, which judges each job itself."""

from __future__ import annotations

from uuid import UUID

from ledger.domain.recovery.selection import StormMembers
from projections.models.storms.queries import number_of
from projections.stores.contract import RowReader

TRIPPED = """
SELECT member.job_id, failure.version + 1 AS trip_version
FROM storm_members AS member LEFT JOIN storm_failures AS failure
    ON failure.storm = member.storm AND failure.job_id = member.job_id
    AND failure.tripped_position IS NOT NULL
WHERE member.storm = :number AND member.left_by = 'tripped'
"""
"""A trip stands right after the failure that made it. Who left the storm by a trip may have tripped
of something else, and then no failure of the storm made it.
"""


def members(questions: RowReader, storm_id: str) -> StormMembers:
    """The jobs that left a storm by a trip, with their trips of it. NotFound when there is no such
    storm.
    """
    trips: dict[UUID, set[int]] = {}
    for row in questions.rows(TRIPPED, {"number": number_of(questions, storm_id)}):
        own = trips.setdefault(UUID(row["job_id"]), set())
        if row["trip_version"] is not None:
            own.add(int(row["trip_version"]))
    return StormMembers(storm_id, trips)
