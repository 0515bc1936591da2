"""The list as Phantom's dashboard wants it: every job at once, newest first, and the counts."""

from __future__ import annotations

from typing import Any

from api.phantom.shapes import job_of, summary_of
from projections.models.jobs.queries import MAX_PAGE, JobFilter
from projections.queries import Queries
from projections.read_models import ReadModels

MAX_LISTED = 10_000
"""Jobs in one answer: Phantom's list has no pages. With more, the oldest are left out, and the
summary's total tells; `/v1/jobs` has pages.
"""


def listing(answers: Queries, read_models: ReadModels) -> dict[str, Any]:
    """`{summary, jobs}`. Refuses Behind."""
    answers.resolve(None, None, "jobs", "runs")
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < MAX_LISTED:
        asked = JobFilter(cursor=cursor, limit=MAX_PAGE, is_newest_first=True)
        page, cursor = read_models.jobs(asked)
        found.extend(map(job_of, page))
        if cursor is None:
            break
    return {
        "summary": summary_of(read_models.summary(), read_models.failing_count()),
        "jobs": found,
    }
