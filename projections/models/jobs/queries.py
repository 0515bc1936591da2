"""What is asked of the list of jobs: one job, a filtered page, the counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.streams.names import folded
from ledger.errors import InvalidField
from projections.filters.paging import require_choice
from projections.stores.contract import RowReader

MAX_PAGE = 1000
STATUSES = ("active", "paused", "failed", "completed")
RECENT = 10

ONE = "SELECT * FROM jobs WHERE id = :id AND status <> 'deleted'"
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
    """Which jobs: by status, tag, words in the name (`q`), the last run's failure class. Pages go
    by `cursor`, from the oldest job on or back from the newest.
    """

    status: str | None = None
    tag: str | None = None
    q: str | None = None
    failure_class: str | None = None
    cursor: str | None = None
    limit: int = 50
    is_newest_first: bool = False


def find(questions: RowReader, asked: JobFilter) -> tuple[list[dict[str, Any]], str | None]:
    """One page in the order the jobs were made, or its reverse, and the cursor of the next."""
    size = max(1, min(asked.limit, MAX_PAGE))
    condition, values = _condition(asked)
    order = "DESC" if asked.is_newest_first else "ASC"
    sql = f"SELECT * FROM jobs WHERE {condition} ORDER BY number {order} LIMIT :limit"
    rows = questions.rows(sql, {**values, "limit": size + 1})
    following = str(rows[size - 1]["number"]) if len(rows) > size else None
    return [shape(row) for row in rows[:size]], following


def _condition(asked: JobFilter) -> tuple[str, dict[str, Any]]:
    terms = ["status = :status" if asked.status else "status <> 'deleted'"]
    values: dict[str, Any] = {"status": asked.status}
    require_choice("status", asked.status, STATUSES)
    require_choice("failure_class", asked.failure_class, FAILURE_CLASSES)
    if asked.tag is not None:
        terms.append("number IN (SELECT number FROM job_tags WHERE tag = :tag)")
    if asked.q is not None:
        terms.append("folded_name LIKE :pattern ESCAPE '\\'")
        escaped = folded(asked.q).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values["pattern"] = f"%{escaped}%"
    if asked.failure_class is not None:
        terms.append("last_failure_class = :failure_class")
    if asked.cursor is not None:
        terms.append("number < :number" if asked.is_newest_first else "number > :number")
        values["number"] = read_cursor(asked.cursor)
    return " AND ".join(terms), values | {"tag": asked.tag, "failure_class": asked.failure_class}


def read_cursor(cursor: str) -> int:
    """The place a cursor of ours names; InvalidField when it is not one."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidField("cursor", "is not one that this ledger gave out")
    return int(cursor)


def summary(questions: RowReader) -> dict[str, Any]:
    """How many jobs stand where, and when the next one fires."""
    counts = dict.fromkeys(STATUSES, 0)
    disabled = 0
    for row in questions.rows(COUNTS):
        counts[row["status"]] += row["count"]
        disabled += 0 if row["enabled"] else row["count"]
    [following] = questions.rows(NEXT)
    return {
        "total": sum(counts.values()),
        **counts,
        "disabled": disabled,
        "next_run_at": following["next_run_at"],
    }


def shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the public shape of a job (DESIGN §11)."""
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "status": row["status"],
        "enabled": bool(row["enabled"]),
        "schedule": _nested(row["schedule"]),
        "task": row["task"],
        "executor": _nested(row["executor"]),
        "delivery": _nested(row["delivery"]),
        "policy": _nested(row["policy"]),
        "tags": _nested(row["tags"]),
        "delete_after_run": bool(row["delete_after_run"]),
        "next_run_at": row["next_run_at"],
        "paused_until": row["paused_until"],
        "open_run": _open_run(row),
        "last_run": _last_run(row),
        "last_delivery": _nested(row["last_delivery"]),
        "consecutive_errors": row["consecutive_errors"],
        "consecutive_losses": row["consecutive_losses"],
        "run_count": row["run_count"],
        "version": row["version"],
        "revision": row["revision"],
        "created_at": row["created_at"],
        "created_by": _nested(row["created_by"]),
        "updated_at": row["updated_at"],
    }


def _open_run(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["open_run_id"] is None:
        return None
    return {
        "run_id": row["open_run_id"],
        "scheduled_for": row["open_scheduled_for"],
        "trigger": row["open_trigger"],
        "attempt": row["open_attempt"],
        "fence": row["open_fence"],
        "node": row["open_node"],
        "started_at": row["open_started_at"],
        "lease_until": row["open_lease_until"],
    }


def _last_run(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["last_status"] is None:
        return None
    return {
        "run_id": row["last_run_id"],
        "started_at": row["last_started_at"],
        "status": row["last_status"],
        "duration_ms": row["last_duration_ms"],
        "error": row["last_error"],
        "failure_class": row["last_failure_class"],
    }


def _nested(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
