"""What is asked of the force-resumes: which there were, and how many held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, microseconds, rfc3339
from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.errors import Unavailable
from projections.filters.as_of import require_stretch
from projections.filters.paging import require_choice
from projections.models.jobs.queries import MAX_PAGE, read_cursor
from projections.models.resumes.model import NAME, OUTCOMES
from projections.read_models import ReadModels
from projections.stores.contract import Row, RowReader

QUOTED_DAYS = 90
"""How far back the rate looks that is quoted to whoever is about to force a job."""
PAGE = """
SELECT resumes.*, jobs.name AS job_name,
    (SELECT COUNT(*) FROM resume_trips WHERE resume = resumes.position) AS trip_count
FROM resumes LEFT JOIN jobs ON jobs.id = resumes.job_id
WHERE {condition} ORDER BY resumes.position DESC LIMIT :limit
"""
RATES = """
SELECT {column} AS value, COUNT(*) AS count,
    SUM(CASE WHEN outcome = 'held' THEN 1 ELSE 0 END) AS held,
    SUM(CASE WHEN outcome = 'open' THEN 1 ELSE 0 END) AS still_open
FROM resumes WHERE {condition} GROUP BY {column} ORDER BY COUNT(*) DESC, {column}
"""


@dataclass(frozen=True, slots=True)
class ResumeFilter:
    """Which force-resumes: by whom, after failures of which class, of which job, recorded since and
    until when, with which outcome.
    """

    actor: str | None = None
    failure_class: str | None = None
    job: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: str | None = None
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How many force-resumes were decided, and how many of them held."""

    decided_count: int
    held_count: int


def record_of(read_models: ReadModels, failure_class: str, *, now: datetime) -> TrackRecord | None:
    """What came of force-resumes after such failures lately, as far as the copies have come; None
    when they cannot say.
    """
    if not any(item.name == NAME and item.position >= 0 for item in read_models.standings()):
        return None
    try:
        with read_models.reading() as questions:
            return record(questions, failure_class, now=now)
    except Unavailable:
        return None


def find(questions: RowReader, asked: ResumeFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page, the newest first, and the cursor of the next."""
    size = max(1, min(asked.limit, MAX_PAGE))
    condition, values = _condition(asked)
    sql = PAGE.format(condition=condition)
    rows = questions.rows(sql, values | {"limit": size + 1})
    following = str(rows[size - 1]["position"]) if len(rows) > size else None
    return [_shape(row) for row in rows[:size]], following


def rates(questions: RowReader, asked: ResumeFilter) -> dict[str, Any]:
    """How many held, of those that the filter means whatever their outcome: of all, by the class of
    the failures, by actor.
    """
    whole = ResumeFilter(asked.actor, asked.failure_class, asked.job, asked.since, asked.until)
    by_class = _rates(questions, whole, "failure_class")
    return {
        "all": _sum(by_class),
        "by_failure_class": by_class,
        "by_actor": _rates(questions, whole, "actor"),
    }


def record(questions: RowReader, failure_class: str, *, now: datetime) -> TrackRecord:
    """What came of the force-resumes after such failures, in the last 90 days."""
    since = now - timedelta(days=QUOTED_DAYS)
    asked = ResumeFilter(failure_class=failure_class, since=since)
    told = _sum(_rates(questions, asked, "failure_class"))
    return TrackRecord(told["decided_count"], told["held_count"])


def _rates(questions: RowReader, asked: ResumeFilter, column: str) -> list[dict[str, Any]]:
    condition, values = _condition(asked)
    rows = questions.rows(RATES.format(column=column, condition=condition), values)
    return [{column: row["value"], **_rate(row)} for row in rows]


def _rate(row: Mapping[str, Any]) -> dict[str, Any]:
    count, held = int(row["count"]), int(row["held"])
    decided = count - int(row["still_open"])
    return {
        "count": count,
        "decided_count": decided,
        "held_count": held,
        "rate": round(held / decided, 4) if decided else None,
    }


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    decided = sum(part["decided_count"] for part in parts)
    held, count = sum(part["held_count"] for part in parts), sum(part["count"] for part in parts)
    return _rate({"count": count, "held": held, "still_open": count - decided})


def _condition(asked: ResumeFilter) -> tuple[str, dict[str, Any]]:
    require_choice("outcome", asked.outcome, OUTCOMES)
    require_choice("failure_class", asked.failure_class, FAILURE_CLASSES)
    require_stretch(asked.since, asked.until)
    terms = {
        "resumes.actor = :actor": asked.actor,
        "resumes.failure_class = :failure_class": asked.failure_class,
        "resumes.job_id = :job": str(asked.job) if asked.job else None,
        "resumes.outcome = :outcome": asked.outcome,
        "resumes.recorded_at >= :since": microseconds(asked.since) if asked.since else None,
        "resumes.recorded_at <= :until": microseconds(asked.until) if asked.until else None,
        "resumes.position < :cursor": read_cursor(asked.cursor) if asked.cursor else None,
    }
    given = {term: value for term, value in terms.items() if value is not None}
    names = {term: term.rpartition(":")[2] for term in given}
    return " AND ".join(given) or "1 = 1", {names[term]: value for term, value in given.items()}


def _shape(row: Row) -> dict[str, Any]:
    return {
        "position": row["position"],
        "job_id": row["job_id"],
        "job_name": row["job_name"],
        "recorded_at": _instant(row["recorded_at"]),
        "actor": {"id": row["actor"], "kind": row["kind"]},
        "source": row["source"],
        "reason": row["reason"],
        "failure_class": row["failure_class"],
        "trip_position": row["trip_position"],
        "cleared_errors": row["cleared_errors"],
        "last_error": row["last_error"],
        "recovery_id": row["recovery_id"],
        "outcome": row["outcome"],
        "decided_position": row["decided_position"],
        "decided_at": _instant(row["decided_at"]),
        "run_count": row["run_count"],
        "next_trip_position": row["next_trip_position"],
        "next_trip_at": _instant(row["next_trip_at"]),
        "trip_count": row["trip_count"],
    }


def _instant(at: int | None) -> str | None:
    return rfc3339(from_microseconds(at)) if at is not None else None
