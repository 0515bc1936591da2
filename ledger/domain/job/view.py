"""A job as every surface shows it: the one shape of DESIGN §11, JSON-plain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger.clock import rfc3339
from ledger.domain.job.state import JobState, OpenRun


def view(job: JobState) -> dict[str, Any]:
    """The job's public fields. Instants are RFC 3339 in UTC with `Z`."""
    return {
        "id": str(job.id),
        "name": job.name,
        "description": job.description,
        "status": job.status,
        "enabled": job.enabled,
        "schedule": job.schedule,
        "task": job.task,
        "executor": job.executor,
        "delivery": job.delivery,
        "policy": job.policy,
        "tags": job.tags,
        "delete_after_run": job.delete_after_run,
        "next_run_at": instant(job.next_run_at),
        "paused_until": instant(job.paused_until),
        "open_run": open_run_view(job.open_run),
        "last_run": last_run_view(job.last_run),
        "last_delivery": job.last_delivery,
        "consecutive_errors": job.consecutive_errors,
        "consecutive_losses": job.consecutive_losses,
        "run_count": job.run_count,
        "version": job.version,
        "revision": job.revision,
        "created_at": instant(job.created_at),
        "created_by": job.created_by,
        "updated_at": instant(job.updated_at),
    }


def instant(at: datetime | None) -> str | None:
    """RFC 3339, or None."""
    return rfc3339(at) if at is not None else None


def open_run_view(run: OpenRun | None) -> dict[str, Any] | None:
    """The run under way, or None."""
    if run is None:
        return None
    return {
        "run_id": run.run_id,
        "scheduled_for": rfc3339(run.scheduled_for),
        "trigger": run.trigger,
        "attempt": run.attempt,
        "fence": run.fence,
        "node": run.node,
        "started_at": rfc3339(run.started_at),
        "lease_until": rfc3339(run.lease_until),
    }


def last_run_view(last_run: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the last run ended, or None."""
    return {**last_run, "started_at": instant(last_run["started_at"])} if last_run else None
