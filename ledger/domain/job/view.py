"""A job as JSON-plain values: the one shape that every surface shows (docs/reference/http.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from ledger.clock import rfc3339
from ledger.domain.job.state import JobState, OpenRun

Kind = Literal[
    "id", "text", "text?", "status", "flag", "count", "object", "object?", "list", "instant",
    "instant?", "open_run", "last_run", "actor",
]  # fmt: skip
"""The type of a field; `?`: or null."""
JOB_FIELDS: Mapping[str, Kind] = {
    "id": "id",
    "name": "text",
    "description": "text?",
    "status": "status",
    "enabled": "flag",
    "schedule": "object",
    "task": "text",
    "executor": "object?",
    "delivery": "object?",
    "policy": "object",
    "tags": "list",
    "delete_after_run": "flag",
    "next_run_at": "instant?",
    "paused_until": "instant?",
    "open_run": "open_run",
    "last_run": "last_run",
    "last_delivery": "object?",
    "consecutive_errors": "count",
    "consecutive_losses": "count",
    "run_count": "count",
    "version": "count",
    "revision": "count",
    "created_at": "instant",
    "created_by": "actor",
    "updated_at": "instant",
}
"""The public fields of a job, in the order they are shown."""
OPEN_RUN_FIELDS = (
    "run_id", "scheduled_for", "trigger", "attempt", "fence", "node", "started_at", "lease_until",
)  # fmt: skip
LAST_RUN_FIELDS = ("run_id", "started_at", "status", "duration_ms", "error", "failure_class")


def view(job: JobState) -> dict[str, Any]:
    """The job's public fields. Instants are RFC 3339 in UTC with `Z`."""
    return {
        name: _RENDERERS[kind](getattr(job, name)) if kind in _RENDERERS else getattr(job, name)
        for name, kind in JOB_FIELDS.items()
    }


def instant(at: datetime | None) -> str | None:
    """RFC 3339, or None."""
    return rfc3339(at) if at is not None else None


def open_run_view(run: OpenRun | None) -> dict[str, Any] | None:
    """The open run, or None."""
    if run is None:
        return None
    values = {name: getattr(run, name) for name in OPEN_RUN_FIELDS}
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def last_run_view(last_run: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the last run ended, or None."""
    return {**last_run, "started_at": instant(last_run["started_at"])} if last_run else None


_RENDERERS: Mapping[Kind, Callable[[Any], Any]] = {
    "id": str,
    "instant": instant,
    "instant?": instant,
    "open_run": open_run_view,
    "last_run": last_run_view,
}
