"""What is asked of the gaps: which slots were missed, of which jobs, why, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, microseconds, rfc3339
from projections.filters.as_of import require_stretch
from projections.filters.paging import require_choice
from projections.models.jobs.queries import MAX_PAGE, read_cursor
from projections.stores.contract import Row, RowReader

CAUSES = (
    "paused", "failed", "disabled", "overlap", "backoff", "delayed", "downtime", "no_worker",
    "amended",
)  # fmt: skip
"""Why slots were missed."""
PAGE = """
SELECT gaps.*, jobs.name AS job_name FROM gaps
LEFT JOIN jobs ON jobs.id = gaps.job_id
WHERE {condition} ORDER BY gaps.position DESC LIMIT :limit
"""
TAGGED = "gaps.job_id IN (SELECT job_tags.job_id FROM job_tags WHERE job_tags.tag = :tag)"


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps: of which job, of jobs with which tag now, of which cause, and those that reach
    into a stretch of time.
    """

    job: UUID | None = None
    tag: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    limit: int = 50

    def require_sound(self) -> None:
        """Refuse InvalidField for what can mean nothing."""
        require_choice("cause", self.cause, CAUSES)
        require_stretch(self.since, self.until)


def find(questions: RowReader, asked: GapFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page of recorded gaps, the newest first, and the cursor of the next."""
    asked.require_sound()
    size = max(1, min(asked.limit, MAX_PAGE))
    condition, values = _condition(asked)
    rows = questions.rows(PAGE.format(condition=condition), values | {"limit": size + 1})
    following = str(rows[size - 1]["position"]) if len(rows) > size else None
    return [_shape(row) for row in rows[:size]], following


def _condition(asked: GapFilter) -> tuple[str, dict[str, Any]]:
    terms: list[tuple[str, str, Any]] = [
        ("gaps.job_id = :job", "job", str(asked.job) if asked.job else None),
        (TAGGED, "tag", asked.tag),
        ("gaps.cause = :cause", "cause", asked.cause),
        ("gaps.last_at >= :since", "since", microseconds(asked.since) if asked.since else None),
        ("gaps.first_at <= :until", "until", microseconds(asked.until) if asked.until else None),
        ("gaps.position < :cursor", "cursor", read_cursor(asked.cursor) if asked.cursor else None),
    ]
    given = [term for term in terms if term[2] is not None]
    condition = " AND ".join(term for term, _, _ in given) or "1 = 1"
    return condition, {name: value for _, name, value in given}


def _shape(row: Row) -> dict[str, Any]:
    return {
        "job_id": row["job_id"],
        "job_name": row["job_name"],
        "cause": row["cause"],
        "count": row["slot_count"],
        "first": _instant(row["first_at"]),
        "last": _instant(row["last_at"]),
        "capped": bool(row["capped"]),
        "position": row["position"],
        "topic": row["topic"],
        "recorded_at": _instant(row["recorded_at"]),
    }


def _instant(at: int) -> str:
    return rfc3339(from_microseconds(at))
