"""The list as Phantom's dashboard wants it: every job at once, newest first, and the counts."""

from __future__ import annotations

from typing import Any

from api.phantom.shapes import job_of, summary_of
from projections.models.jobs.queries import MAX_PAGE, JobFilter
from projections.queries import Answers
from projections.read_models import Copies

MAX_LISTED = 10_000
"""Jobs in one answer: Phantom's list has no pages. With more, the oldest are left out, and the
summary's total tells; `/v1/jobs` has pages.
"""


def listing(answers: Answers, copies: Copies) -> dict[str, Any]:
    """`{summary, jobs}`. Refuses Behind."""
    answers.see(None, None, "jobs", "runs")
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(found) < MAX_LISTED:
        asked = JobFilter(cursor=cursor, limit=MAX_PAGE, is_newest_first=True)
        page, cursor = copies.jobs(asked)
        found.extend(map(job_of, page))
        if cursor is None:
            break
    return {"summary": summary_of(copies.summary(), copies.failing_count()), "jobs": found}
