"""What Phantom's clients read: jobs, their schedules and the summary, in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Told = dict[str, Any]

RUN_STATUSES = {"succeeded": "ok", "failed": "error", "lost": "error", "blocked": "skipped"}
NO_DELIVERY = {"channel": "none", "target": "owner"}
SUMMED = ("total", "active", "paused", "completed", "failed")
DELIVERY_WORDS = ("delivered", "dropped:", "error:", "skipped:")


def job_of(job: Mapping[str, Any]) -> Told:
    """A job of the ledger as Phantom's clients know it."""
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


def schedule_of(schedule: Mapping[str, Any]) -> Told:
    """A schedule in Phantom's units. What Phantom has no word for (grid, dst) is left out."""
    match schedule["kind"]:
        case "every":
            return {"kind": "every", "intervalMs": round(schedule["interval_seconds"] * 1000)}
        case "cron":
            return {"kind": "cron", "expr": schedule["expr"], "tz": schedule["tz"]}
        case kind:
            return {"kind": kind, "at": schedule["at"]}


def summary_of(summary: Mapping[str, Any], failing_count: int) -> Told:
    """The counts. `recentFailures` is Phantom's: how many active jobs failed the last time."""
    return {
        **{name: summary[name] for name in SUMMED},
        "nextFireAt": summary["next_run_at"],
        "recentFailures": failing_count,
    }


def _last_run_of(run: Mapping[str, Any]) -> Told:
    return {
        "lastRunAt": run.get("started_at"),
        "lastRunStatus": RUN_STATUSES.get(run.get("status", "")),
        "lastRunDurationMs": run.get("duration_ms"),
        "lastRunError": run.get("error"),
    }


def _delivery_of(delivery: Mapping[str, Any] | None) -> Told:
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
