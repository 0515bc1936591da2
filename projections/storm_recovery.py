"""Who tripped in a storm: what the copies propose to a recovery, which judges each job itself."""

from __future__ import annotations

from uuid import UUID

from ledger.domain.recovery_plan import StormMembers
from ledger.store.reading import from_microseconds
from projections.store import Questions
from projections.storm_questions import number_of

TRIPPED = """
SELECT job_id, left_at FROM storm_members
WHERE storm = :number AND left_at IS NOT NULL AND left_by = 'tripped'
"""


def members(questions: Questions, storm_id: str) -> StormMembers:
    """The jobs that left a storm by a trip, with when. NotFound when there is no such storm."""
    number = number_of(questions, storm_id)
    rows = questions.rows(TRIPPED, {"number": number})
    left_at = {UUID(row["job_id"]): from_microseconds(row["left_at"]) for row in rows}
    return StormMembers(storm_id, left_at)
