"""The list as Phantom's dashboard wants it: every job at once, newest first, and the counts."""

from __future__ import annotations

from typing import Any

from api.phantom.shapes import job_of, summary_of
from projections.filters.paging import MAX_PAGE
from projections.models import runs
from projections.models.jobs import queries as job_queries
from projections.models.jobs.queries import JobFilter
from projections.queries import Queries

MAX_LISTED = 10_000
"""Jobs in one answer: Phantom's list has no pages. With more, the oldest are left out, and the
summary's total tells; `/v1/jobs` has pages.
"""


def listing(answers: Queries) -> dict[str, Any]:
    """`{summary, jobs}`. Refuses Behind."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    with answers.positions.session(None, None, "jobs", "runs") as session:
        reader = session.reader
        while len(found) < MAX_LISTED:
            filters = JobFilter(cursor=cursor, limit=MAX_PAGE, is_newest_first=True)
            page, cursor = job_queries.find(reader, filters)
            found.extend(map(job_of, page))
            if cursor is None:
                break
        summary = summary_of(
            runs.summary(session.reader), job_queries.failing_count(session.reader)
        )
    return {"summary": summary, "jobs": found}
