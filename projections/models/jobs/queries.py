"""Queries on the list of jobs: one job, a filtered page, the counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.job.view import JOB_FIELDS, LAST_RUN_FIELDS, OPEN_RUN_FIELDS, Kind
from ledger.domain.streams.names import folded
from ledger.errors import JobNotFound
from projections.filters.paging import conditions, cursor_or, read_page, require_choice
from projections.stores.rows import Row, RowReader

STATUSES = ("active", "paused", "failed", "completed")

ONE = "SELECT * FROM jobs WHERE id = :id AND status <> 'deleted'"
PAGE = """
SELECT * FROM jobs WHERE status <> 'deleted' AND {condition} ORDER BY number {order} LIMIT :limit
"""
COUNTS = (
    "SELECT status, enabled, COUNT(*) AS count FROM jobs WHERE status <> 'deleted' "
    "GROUP BY status, enabled"
)
FAILING = "SELECT COUNT(*) AS count FROM jobs WHERE status = 'active' AND consecutive_errors > 0"
NEXT = (
    "SELECT MIN(next_run_at) AS next_run_at FROM jobs "
    "WHERE next_run_at IS NOT NULL AND status = 'active'"
)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs: by status, tag, a part of the name (`q`), the last run's failure class. Pages
    follow each other by `cursor`, oldest job first, or newest first.
    """

    status: str | None = None
    tag: str | None = None
    q: str | None = None
    failure_class: str | None = None
    cursor: str | None = None
    limit: int = 50
    is_newest_first: bool = False


def one(reader: RowReader, job_id: UUID) -> dict[str, Any]:
    """One job. Raises JobNotFound when it is unknown or deleted."""
    row = reader.row(ONE, {"id": str(job_id)})
    if row is None:
        raise JobNotFound(job_id)
    return shape(row)


def find(reader: RowReader, filters: JobFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page in the order of creation, or its reverse, and the cursor of the next."""
    require_choice("status", filters.status, STATUSES)
    require_choice("failure_class", filters.failure_class, FAILURE_CLASSES)
    beyond, order = ("<", "DESC") if filters.is_newest_first else (">", "ASC")
    condition, values = conditions(
        {
            "status = :status": filters.status,
            "number IN (SELECT number FROM job_tags WHERE tag = :tag)": filters.tag,
            "folded_name LIKE :pattern ESCAPE '\\'": _pattern(filters.q),
            "last_failure_class = :failure_class": filters.failure_class,
            f"number {beyond} :number": cursor_or(filters.cursor, None),
        }
    )
    sql = PAGE.format(condition=condition, order=order)
    rows, following = read_page(reader, sql, values, limit=filters.limit, cursor="number")
    return [shape(row) for row in rows], following


def _pattern(words: str | None) -> str | None:
    """What LIKE finds a part of a name by."""
    if words is None:
        return None
    escaped = folded(words).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def failing_count(reader: RowReader) -> int:
    """How many active jobs failed the last time they ran."""
    [row] = reader.rows(FAILING)
    return int(row["count"])


def summary(reader: RowReader) -> dict[str, Any]:
    """How many jobs have each status, and when the next one fires."""
    counts = dict.fromkeys(STATUSES, 0)
    disabled = 0
    for row in reader.rows(COUNTS):
        counts[row["status"]] += row["count"]
        disabled += 0 if row["enabled"] else row["count"]
    [following] = reader.rows(NEXT)
    return {
        "total": sum(counts.values()),
        **counts,
        "disabled": disabled,
        "next_run_at": following["next_run_at"],
    }


def shape(row: Row) -> dict[str, Any]:
    """A row as the public shape of a job (`ledger.domain.job.view`)."""
    return {
        name: _READERS[kind](row, name) if kind in _READERS else row[name]
        for name, kind in JOB_FIELDS.items()
    }


def _open_run(row: Row, _: str) -> dict[str, Any] | None:
    if row["open_run_id"] is None:
        return None
    return {name: row[f"open_{name}"] for name in OPEN_RUN_FIELDS}


def _last_run(row: Row, _: str) -> dict[str, Any] | None:
    if row["last_status"] is None:
        return None
    return {name: row[f"last_{name}"] for name in LAST_RUN_FIELDS}


def _flag(row: Row, name: str) -> bool:
    return bool(row[name])


def _nested(row: Row, name: str) -> Any:
    return None if row[name] is None else orjson.loads(row[name])


_READERS: Mapping[Kind, Callable[[Row, str], Any]] = {
    "flag": _flag,
    "object": _nested,
    "object?": _nested,
    "list": _nested,
    "actor": _nested,
    "open_run": _open_run,
    "last_run": _last_run,
}
