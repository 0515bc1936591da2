"""What is asked of the storms: which there were, one with its jobs and its course, how many are
open. An answer depends on when it is asked: a storm ends by silence, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ledger.clock import from_microseconds, microseconds, rfc3339
from ledger.errors import NotFound
from projections.models.jobs.queries import MAX_PAGE, read_cursor
from projections.models.storms.model import MINUTE, PRESENT, REMAINING_JOBS, SILENCE
from projections.stores.contract import Row, RowReader

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
"""`thinned_at` is when fewer than two jobs were left, unless two still are."""
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
    questions: RowReader,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = 50,
    only_open: bool = False,
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of storms, the newest first, as they are at `now`, and the cursor of the next; with
    `only_open` those that are open then.
    """
    size = max(1, min(limit, MAX_PAGE))
    before = read_cursor(cursor) if cursor is not None else 2**62
    silent_from, least = (microseconds(now) - SILENCE, REMAINING_JOBS) if only_open else (-1, 0)
    values = {"before": before, "limit": size + 1, "silent_from": silent_from, "least": least}
    rows = questions.rows(PAGE, values)
    following = str(rows[size - 1]["number"]) if len(rows) > size else None
    page = rows[:size]
    states = _states(questions, page)
    return [_shape(row, states[row["number"]], now) for row in page], following


def one(questions: RowReader, storm_id: str, *, now: datetime) -> dict[str, Any]:
    """One storm with its first failure, its jobs in the order they came into it, and its failures
    per minute. NotFound when there is none.
    """
    row = _row(questions, storm_id)
    states = _states(questions, [row])
    jobs = [_job(job) for job in questions.rows(JOBS, {"number": row["number"]})]
    return {
        **_shape(row, states[row["number"]], now),
        "first_failure": {
            "position": row["number"],
            "job_id": jobs[0]["id"],
            "job_name": jobs[0]["name"],
            "recorded_at": _instant(row["first_failed_at"]),
        },
        "jobs": jobs,
        "per_minute": [
            _minute(minute) for minute in questions.rows(SPREAD, {"number": row["number"]})
        ],
    }


def number_of(questions: RowReader, storm_id: str) -> int:
    """The number of a storm; NotFound when there is none."""
    return int(_row(questions, storm_id)["number"])


def open_count(questions: RowReader, *, now: datetime) -> int:
    """How many storms are open at `now`."""
    row = questions.row(OPEN_COUNT, {"silent_from": microseconds(now) - SILENCE})
    return int(row["count"]) if row is not None else 0


def of_failure(questions: RowReader, position: int, *, as_of: int) -> str | None:
    """The storm that took the failure at a position, if it was open by another; else None."""
    row = questions.row(OF_FAILURE, {"position": position, "as_of": as_of})
    return f"S-{row['number']}" if row is not None else None


def over_at(row: Row, now: int) -> int | None:
    """When a storm was over, or None while it is open at `now` (µs): when too few jobs were left,
    or after the silence, whichever came first; never before its last failure.
    """
    silent_at = int(row["last_failed_at"]) + SILENCE
    if row["present_count"] >= REMAINING_JOBS:
        return silent_at if silent_at <= now else None
    # Too few even at the last failure: it was over as soon as it had come back.
    thinned_at = max(int(row["thinned_at"] or 0), int(row["last_failed_at"]))
    return min(thinned_at, silent_at)


def _row(questions: RowReader, storm_id: str) -> Row:
    number = _ID.fullmatch(storm_id)
    row = questions.row(ONE, {"number": int(number[1])}) if number else None
    if row is None:
        raise NotFound(
            f"There is no storm {storm_id[:40]!r}; list them with jobledger storm list or "
            "GET /v1/storms."
        )
    return row


def _states(questions: RowReader, rows: Sequence[Row]) -> Mapping[int, Counter[str]]:
    """How many jobs of each storm stand where now."""
    numbers = [row["number"] for row in rows]
    states: dict[int, Counter[str]] = {number: Counter() for number in numbers}
    if not numbers:
        return states
    for row in questions.rows(STATES, {"first": min(numbers), "last": max(numbers)}):
        states[row["storm"]][row["status"]] = int(row["count"])
    return states


def _shape(row: Row, states: Counter[str], now: datetime) -> dict[str, Any]:
    ended_at = over_at(row, microseconds(now))
    return {
        "id": f"S-{row['number']}",
        "is_open": ended_at is None,
        "signature": row["signature"],
        "failure_class": row["failure_class"],
        "first_failed_at": _instant(row["first_failed_at"]),
        "opened_at": _instant(row["opened_at"]),
        "opened_position": row["opened_position"],
        "last_failed_at": _instant(row["last_failed_at"]),
        "over_at": _instant(ended_at),
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
        "first_failed_at": _instant(row["first_failed_at"]),
        "last_failed_at": _instant(row["last_failed_at"]),
        "left_at": _instant(row["left_at"]),
        "left_by": row["left_by"],
    }


def _minute(row: Row) -> dict[str, Any]:
    return {
        "minute": _instant(int(row["minute"]) * MINUTE),
        "failure_count": int(row["failure_count"]),
        "job_count": int(row["job_count"]),
    }


def _instant(at: int | None) -> str | None:
    return rfc3339(from_microseconds(at)) if at is not None else None
