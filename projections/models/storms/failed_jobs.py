"""Jobs that are failed now, put to the storms they are failed of: those come back together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.domain.job.job import Job
from ledger.domain.recovery.selection import in_order_of_trips
from projections.models.storms import members as storm_recovery
from projections.models.storms import queries as storm_questions
from projections.stores.contract import RowReader

MAX_STORMS = 20
"""Storms that are looked at, the newest; what failed in older ones stands by itself."""


@dataclass(frozen=True, slots=True)
class FailedInStorm:
    """A storm, and the jobs that are failed of it still, the longest failed first."""

    storm: dict[str, Any]
    jobs: Sequence[Job]


def group_by_storm(
    questions: RowReader, jobs: Sequence[Job], *, now: datetime
) -> list[FailedInStorm]:
    """The storms that jobs are failed of, the newest first. A job is failed of one at the most."""
    failed = in_order_of_trips(jobs)
    storms, _ = storm_questions.find(questions, now=now, limit=MAX_STORMS if failed else 1)
    found = []
    for storm in storms:
        trips = storm_recovery.members(questions, storm["id"]).trips
        of_it = [job for job in failed if job.trip_version in trips.get(job.id, ())]
        if of_it:
            found.append(FailedInStorm(storm, of_it))
    return found
