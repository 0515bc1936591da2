"""Queries on storms: a page, one with its jobs and its course, how many are open. The answers
depend on the instant of the query: a storm ends by silence, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ledger.clock import microseconds
from ledger.errors import NotFound
from projections.filters.paging import (
    BEYOND_EVERY_CURSOR,
    cursor_or,
    instant_text,
    optional_instant_text,
    read_page,
)
from projections.models.storms.model import MINUTE, PRESENT, REMAINING_JOBS, SILENCE
from projections.stores.rows import Row, RowReader

_ID = re.compile(r"S-([1-9]\d{0,17})")
SHOWN = f"""
SELECT storms.*, {PRESENT.format(g="")} AS present_count,
    (
        SELECT left_at FROM storm_members AS member WHERE member.storm = storms.number
        ORDER BY left_at IS NULL DESC, left_at DESC, job_id LIMIT 1 OFFSET {REMAINING_JOBS - 1}
    ) AS thinned_at,
    (SELECT COUNT(*) FROM storm_members WHERE storm = storms.number) AS job_count,
    (SELECT COUNT(*) FROM storm_failures WHERE storm = storms.number) AS failure_count,
    (
        SELECT COUNT(tripped_position) FROM storm_failures WHERE storm = storms.number
    ) AS trip_count
FROM storms
"""
"""`thinned_at`: when fewer than two jobs remained; meaningless while two do."""
PAGE = f"""
{SHOWN} WHERE number < :before AND last_failed_at > :silent_from
AND {PRESENT.format(g="")} >= :least ORDER BY number DESC LIMIT :limit
"""
ONE = f"{SHOWN} WHERE number = :number"
OPEN_COUNT = f"""
SELECT COUNT(*) AS count FROM storms
WHERE last_failed_at > :silent_from AND {PRESENT.format(g="")} >= {REMAINING_JOBS}
"""
OF_FAILURE = """
SELECT storms.number FROM storm_failures JOIN storms ON storms.number = storm_failures.storm
WHERE storm_failures.position = :position AND storms.opened_position <= :as_of
"""
STATES = """
SELECT storm_members.storm, jobs.status, COUNT(*) AS count
FROM storm_members JOIN jobs ON jobs.id = storm_members.job_id
WHERE storm_members.storm BETWEEN :first AND :last GROUP BY storm_members.storm, jobs.status
"""
JOBS = """
SELECT member.job_id, jobs.name, jobs.status, member.left_at, member.left_by,
    COUNT(*) AS failure_count, COUNT(failure.tripped_position) AS trip_count,
    MIN(failure.recorded_at) AS first_failed_at, MAX(failure.recorded_at) AS last_failed_at,
    MIN(failure.position) AS first_position
FROM storm_members AS member
JOIN storm_failures AS failure
    ON failure.storm = member.storm AND failure.job_id = member.job_id
LEFT JOIN jobs ON jobs.id = member.job_id
WHERE member.storm = :number
GROUP BY member.job_id, jobs.name, jobs.status, member.left_at, member.left_by
ORDER BY first_position
"""
SPREAD = f"""
SELECT recorded_at / {MINUTE} AS minute, COUNT(*) AS failure_count,
    COUNT(DISTINCT job_id) AS job_count
FROM storm_failures WHERE storm = :number GROUP BY recorded_at / {MINUTE} ORDER BY minute
"""


def find(
    reader: RowReader,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = 50,
    only_open: bool = False,
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of storms as they are at `now`, newest first, and the cursor of the next; with
    `only_open` those that are open then.
    """
    before = cursor_or(cursor, BEYOND_EVERY_CURSOR)
    silent_from, least = (microseconds(now) - SILENCE, REMAINING_JOBS) if only_open else (-1, 0)
    values = {"before": before, "silent_from": silent_from, "least": least}
    page, following = read_page(reader, PAGE, values, limit=limit, cursor="number")
    states = _states(reader, page)
    return [_shape(row, states[row["number"]], now) for row in page], following


def one(reader: RowReader, storm_id: str, *, now: datetime) -> dict[str, Any]:
    """One storm with its first failure, its jobs in the order they joined, and its failures per
    minute. Raises NotFound.
    """
    row = _row(reader, storm_id)
    states = _states(reader, [row])
    jobs = [_job(job) for job in reader.rows(JOBS, {"number": row["number"]})]
    return {
        **_shape(row, states[row["number"]], now),
        "first_failure": {
            "position": row["number"],
            "job_id": jobs[0]["id"],
            "job_name": jobs[0]["name"],
            "recorded_at": instant_text(row["first_failed_at"]),
        },
        "jobs": jobs,
        "per_minute": [
            _minute(minute) for minute in reader.rows(SPREAD, {"number": row["number"]})
        ],
    }


def number_of(reader: RowReader, storm_id: str) -> int:
    """The number of a storm. Raises NotFound."""
    return int(_row(reader, storm_id)["number"])


def open_count(reader: RowReader, *, now: datetime) -> int:
    """How many storms are open at `now`."""
    row = reader.row(OPEN_COUNT, {"silent_from": microseconds(now) - SILENCE})
    return int(row["count"]) if row is not None else 0


def of_failure(reader: RowReader, position: int, *, as_of: int) -> str | None:
    """The storm that took the failure at a position, if it had opened by `as_of`; else None."""
    row = reader.row(OF_FAILURE, {"position": position, "as_of": as_of})
    return f"S-{row['number']}" if row is not None else None


def over_at(row: Row, now: int) -> int | None:
    """When a storm ended (µs), or None while it is open at `now`: when too few jobs remained, or
    after the silence, whichever came first; never before its last failure.
    """
    silent_at = int(row["last_failed_at"]) + SILENCE
    if row["present_count"] >= REMAINING_JOBS:
        return silent_at if silent_at <= now else None
    # Too few at the last failure already: it ended as soon as it had continued.
    thinned_at = max(int(row["thinned_at"] or 0), int(row["last_failed_at"]))
    return min(thinned_at, silent_at)


def _row(reader: RowReader, storm_id: str) -> Row:
    number = _ID.fullmatch(storm_id)
    row = reader.row(ONE, {"number": int(number[1])}) if number else None
    if row is None:
        raise NotFound(
            f"There is no storm {storm_id[:40]!r}; list them with jobledger storm list or "
            "GET /v1/storms."
        )
    return row


def _states(reader: RowReader, rows: Sequence[Row]) -> Mapping[int, Counter[str]]:
    """How many jobs of each storm have each status now."""
    numbers = [row["number"] for row in rows]
    states: dict[int, Counter[str]] = {number: Counter() for number in numbers}
    if not numbers:
        return states
    for row in reader.rows(STATES, {"first": min(numbers), "last": max(numbers)}):
        states[row["storm"]][row["status"]] = int(row["count"])
    return states


def _shape(row: Row, states: Counter[str], now: datetime) -> dict[str, Any]:
    ended_at = over_at(row, microseconds(now))
    return {
        "id": f"S-{row['number']}",
        "is_open": ended_at is None,
        "signature": row["signature"],
        "failure_class": row["failure_class"],
        "first_failed_at": instant_text(row["first_failed_at"]),
        "opened_at": instant_text(row["opened_at"]),
        "opened_position": row["opened_position"],
        "last_failed_at": instant_text(row["last_failed_at"]),
        "over_at": optional_instant_text(ended_at),
        "failure_count": int(row["failure_count"]),
        "trip_count": int(row["trip_count"]),
        "job_count": int(row["job_count"]),
        "remaining_count": int(row["present_count"]),
        "jobs_by_status": dict(sorted(states.items())),
    }


def _job(row: Row) -> dict[str, Any]:
    return {
        "id": row["job_id"],
        "name": row["name"],
        "status": row["status"],
        "failure_count": int(row["failure_count"]),
        "trip_count": int(row["trip_count"]),
        "first_failed_at": instant_text(row["first_failed_at"]),
        "last_failed_at": instant_text(row["last_failed_at"]),
        "left_at": optional_instant_text(row["left_at"]),
        "left_by": row["left_by"],
    }


def _minute(row: Row) -> dict[str, Any]:
    return {
        "minute": instant_text(int(row["minute"]) * MINUTE),
        "failure_count": int(row["failure_count"]),
        "job_count": int(row["job_count"]),
    }
