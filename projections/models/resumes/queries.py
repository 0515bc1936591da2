"""Queries on forced resumes: which there were, and how many held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.domain.job.failures import FAILURE_CLASSES
from projections.filters.paging import (
    conditions,
    cursor_or,
    instant_text,
    optional_instant_text,
    optional_microseconds,
    read_page,
    require_choice,
    require_time_range,
)
from projections.models.resumes.model import OUTCOMES
from projections.stores.rows import Row, RowReader

QUOTED_DAYS = 90
"""How many days of forced resumes the rate covers that a ForceRequired refusal quotes."""
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
    """Which forced resumes: by actor, failure class, job, time of recording, outcome."""

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
    """How many forced resumes were decided, and how many of them held."""

    decided_count: int
    held_count: int


def find(reader: RowReader, filters: ResumeFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page, the newest first, and the cursor of the next."""
    condition, values = _condition(filters)
    sql = PAGE.format(condition=condition)
    rows, following = read_page(reader, sql, values, limit=filters.limit, cursor="position")
    return [_shape(row) for row in rows], following


def rates(reader: RowReader, filters: ResumeFilter) -> dict[str, Any]:
    """How many of the resumes that match held, whatever outcome the filter names: of all of them,
    by failure class, by actor.
    """
    whole = replace(filters, outcome=None, cursor=None)
    by_class, by_actor = (_rates(reader, whole, column) for column in ("failure_class", "actor"))
    return {"all": _sum(by_class), "by_failure_class": by_class, "by_actor": by_actor}


def track_record(reader: RowReader, failure_class: str, *, now: datetime) -> TrackRecord:
    """What came of the forced resumes after failures of a class, in the last 90 days."""
    since = now - timedelta(days=QUOTED_DAYS)
    recent = ResumeFilter(failure_class=failure_class, since=since)
    total = _sum(_rates(reader, recent, "failure_class"))
    return TrackRecord(total["decided_count"], total["held_count"])


def _rates(reader: RowReader, filters: ResumeFilter, column: str) -> list[dict[str, Any]]:
    condition, values = _condition(filters)
    rows = reader.rows(RATES.format(column=column, condition=condition), values)
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


def _condition(filters: ResumeFilter) -> tuple[str, dict[str, Any]]:
    require_choice("outcome", filters.outcome, OUTCOMES)
    require_choice("failure_class", filters.failure_class, FAILURE_CLASSES)
    require_time_range(filters.since, filters.until)
    return conditions(
        {
            "resumes.actor = :actor": filters.actor,
            "resumes.failure_class = :failure_class": filters.failure_class,
            "resumes.job_id = :job": str(filters.job) if filters.job else None,
            "resumes.outcome = :outcome": filters.outcome,
            "resumes.recorded_at >= :since": optional_microseconds(filters.since),
            "resumes.recorded_at <= :until": optional_microseconds(filters.until),
            "resumes.position < :cursor": cursor_or(filters.cursor, None),
        }
    )


def _shape(row: Row) -> dict[str, Any]:
    return {
        "position": row["position"],
        "job_id": row["job_id"],
        "job_name": row["job_name"],
        "recorded_at": instant_text(row["recorded_at"]),
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
        "decided_at": optional_instant_text(row["decided_at"]),
        "run_count": row["run_count"],
        "next_trip_position": row["next_trip_position"],
        "next_trip_at": optional_instant_text(row["next_trip_at"]),
        "trip_count": row["trip_count"],
    }
