"""The JSON that Phantom's clients read: jobs, schedules, the summary and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from api.refusals import WordsNotUnderstood
from ledger.domain.schedule.recurrence import describe
from ledger.domain.schedule.schedules import Every, Schedule

Document = dict[str, Any]

RUN_STATUSES = {"succeeded": "ok", "failed": "error", "lost": "error", "blocked": "skipped"}
NO_DELIVERY = {"channel": "none", "target": "owner"}
SUMMED = ("total", "active", "paused", "completed", "failed")
DELIVERY_WORDS = ("delivered", "dropped:", "error:", "skipped:")
BAD_SCHEDULES = frozenset({"schedule_invalid", "schedule_never_fires", "schedule_in_past"})
UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
"""In milliseconds; Phantom uses days from two days on."""


def job_of(job: Mapping[str, Any]) -> Document:
    """A job in Phantom's fields."""
    return {
        "id": job["id"],
        "name": job["name"],
        "description": job["description"],
        "enabled": job["enabled"],
        "schedule": schedule_of(job["schedule"]),
        "task": job["task"],
        "delivery": _delivery_of(job["delivery"]),
        "status": job["status"],
        **_last_run_of(job["last_run"] or {}),
        "lastDeliveryStatus": _delivery_status_of(job["last_delivery"]),
        "nextRunAt": job["next_run_at"],
        "runCount": job["run_count"],
        "consecutiveErrors": job["consecutive_errors"],
        "deleteAfterRun": job["delete_after_run"],
        "createdAt": job["created_at"],
        "createdBy": job["created_by"]["kind"],
        "updatedAt": job["updated_at"],
    }


def schedule_of(schedule: Mapping[str, Any]) -> Document:
    """A schedule in Phantom's units, without what Phantom has no field for (anchor, dst)."""
    match schedule["kind"]:
        case "every":
            return {"kind": "every", "intervalMs": round(schedule["interval_seconds"] * 1000)}
        case "cron":
            return {"kind": "cron", "expr": schedule["expr"], "tz": schedule["tz"]}
        case kind:
            return {"kind": kind, "at": schedule["at"]}


def summary_of(summary: Mapping[str, Any], failing_count: int) -> Document:
    """The counts. `recentFailures` is the number of active jobs whose last run failed."""
    return {
        **{name: summary[name] for name in SUMMED},
        "nextFireAt": summary["next_run_at"],
        "recentFailures": failing_count,
    }


def schedule_text(schedule: Schedule) -> str:
    """A schedule in words: intervals as Phantom abbreviates them."""
    if not isinstance(schedule, Every):
        return describe(schedule)
    whole = round(schedule.interval_seconds * 1000)
    unit, size = next(
        (unit, size)
        for unit, size in UNITS
        if whole % size == 0 and (unit != "d" or whole >= 2 * size)
    )
    return f"every {whole // size}{unit}"


def phantom_refusal(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response:
    """A refusal as Phantom answers it: bad input is a 400, except a description in words."""
    is_bad_input = status == 422 and code != WordsNotUnderstood.code
    body = orjson.dumps({"error": error_text(code, detail)})
    known = 400 if is_bad_input else status
    return Response(body, known, dict(headers), "application/json")


def error_text(code: str, detail: str) -> str:
    """The text of a refusal, with the words that Phantom begins those of schedules with."""
    return f"invalid schedule: {detail}" if code in BAD_SCHEDULES else detail


def _last_run_of(run: Mapping[str, Any]) -> Document:
    return {
        "lastRunAt": run.get("started_at"),
        "lastRunStatus": RUN_STATUSES.get(run.get("status", "")),
        "lastRunDurationMs": run.get("duration_ms"),
        "lastRunError": run.get("error"),
    }


def _delivery_of(delivery: Mapping[str, Any] | None) -> Document:
    if delivery is None:
        return dict(NO_DELIVERY)
    return {"channel": delivery["channel"], "target": delivery["target"] or "owner"}


def _delivery_status_of(delivery: Mapping[str, Any] | None) -> str | None:
    if delivery is None:
        return None
    if delivery["status"] == "delivered":
        return "delivered"
    outcome = str(delivery["outcome"])
    return outcome if outcome.startswith(DELIVERY_WORDS) else f"error:{outcome}"
