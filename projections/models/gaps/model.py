"""Missed slots that events recorded: one row for each such event, and the queries on them.

Slots that nothing has recorded yet have no row: their number grows with time, and is counted when
it is asked for (`projections.models.gaps.open`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import microseconds, parse_rfc3339
from ledger.store.records import RecordedEvent
from projections.filters.paging import (
    conditions,
    cursor_or,
    instant_text,
    optional_microseconds,
    read_page,
    require_choice,
    require_time_range,
)
from projections.stores.model import Statement
from projections.stores.rows import Row, RowReader

NAME = "gaps"
VERSION = 1
TABLES = ("gaps",)
SCHEMA = """
CREATE TABLE gaps{g} (
    position BIGINT PRIMARY KEY,
    job_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    slot_count BIGINT NOT NULL,
    capped BIGINT NOT NULL,
    cause TEXT NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX gaps{g}_by_job ON gaps{g} (job_id, position);
CREATE INDEX gaps{g}_by_cause ON gaps{g} (cause, position);
"""
INSERT = """
INSERT INTO gaps{g} (
    position, job_id, topic, first_at, last_at, slot_count, capped, cause, recorded_at
) VALUES (
    :position, :job_id, :topic, :first_at, :last_at, :slot_count, :capped, :cause, :recorded_at
)
"""

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


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event changes."""
    missed = event.data.get("missed")
    if not missed:
        return ()
    values = {
        "position": event.position,
        "job_id": str(event.stream),
        "topic": event.topic,
        "first_at": microseconds(parse_rfc3339(missed["first"])),
        "last_at": microseconds(parse_rfc3339(missed["last"])),
        "slot_count": missed["count"],
        "capped": int(missed["capped"]),
        "cause": missed["cause"],
        "recorded_at": event.recorded_at,
    }
    return ((INSERT, values),)


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps: by job, a tag that jobs have now, cause, and a range of time they reach into."""

    job: UUID | None = None
    tag: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    limit: int = 50

    def require_sound(self) -> None:
        """Raise InvalidField for values that mean nothing."""
        require_choice("cause", self.cause, CAUSES)
        require_time_range(self.since, self.until)


def find(reader: RowReader, filters: GapFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page of recorded gaps, newest first, and the cursor of the next."""
    filters.require_sound()
    condition, values = conditions(
        {
            "gaps.job_id = :job": str(filters.job) if filters.job else None,
            TAGGED: filters.tag,
            "gaps.cause = :cause": filters.cause,
            "gaps.last_at >= :since": optional_microseconds(filters.since),
            "gaps.first_at <= :until": optional_microseconds(filters.until),
            "gaps.position < :cursor": cursor_or(filters.cursor, None),
        }
    )
    sql = PAGE.format(condition=condition)
    rows, following = read_page(reader, sql, values, limit=filters.limit, cursor="position")
    return [_shape(row) for row in rows], following


def _shape(row: Row) -> dict[str, Any]:
    return {
        "job_id": row["job_id"],
        "job_name": row["job_name"],
        "cause": row["cause"],
        "count": row["slot_count"],
        "first": instant_text(row["first_at"]),
        "last": instant_text(row["last_at"]),
        "capped": bool(row["capped"]),
        "position": row["position"],
        "topic": row["topic"],
        "recorded_at": instant_text(row["recorded_at"]),
    }
