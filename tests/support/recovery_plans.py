"""Failed jobs, and a plan to resume them."""

from __future__ import annotations

from typing import Any

from ledger.domain.job.job import Job
from ledger.domain.recovery.plan import Plan, Terms, make_plan
from ledger.domain.recovery.selection import Selection, Selector
from tests.support.builders import HOUR, HOURLY, NOON, a_job, an_id, tripped

LATER = NOON + 6 * HOUR
ANY = Selector(failure_class="rate_limited")


def a_tripped_job(number: int, **fields: Any) -> Job:
    job = a_job(
        tripped(1), number=number, **{"policy": {"trip_after": 1}, "schedule": HOURLY, **fields}
    )
    job.locate(job.version, 100 + number)
    job.pending_events.clear()
    return job


def planned(
    *jobs: Job, selection: Selection = ANY, terms: Terms | None = None, **taken: str
) -> Plan:
    by_id = {str(an_id(int(name[1:]))): recovery for name, recovery in taken.items()}
    return make_plan(selection, terms or Terms(), jobs, planned_in=by_id, now=LATER)
