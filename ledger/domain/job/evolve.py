"""How each event changes a job: one function per event, without conditions that reject history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.domain import events as e
from ledger.domain.job.state import JobState


def _scheduled(job: JobState, event: e.Scheduled) -> None:
    job.name = event.name
    job.description = event.description
    job.schedule = event.schedule
    job.task = event.task
    job.executor = event.executor
    job.delivery = event.delivery
    job.policy = event.policy
    job.tags = event.tags
    job.enabled = event.enabled
    job.delete_after_run = event.delete_after_run
    job.next_run_at = event.next_run_at
    job.settled_until = event.timestamp
    job.created_at = event.timestamp
    job.created_by = event.actor


def _amended(job: JobState, event: e.Amended) -> None:
    for key, value in event.changes.items():
        setattr(job, key, value)
    job.next_run_at = event.next_run_at
    if "schedule" in event.changes or "enabled" in event.changes:
        job.settled_until = event.timestamp
        job.owed_from = None
        if job.stopped_at is not None:
            job.stopped_at = event.timestamp
    job.forget_compiled()


def _paused(job: JobState, event: e.Paused) -> None:
    if job.status == "active":
        job.owed_from = job.next_run_at
        job.stopped_at = event.timestamp
    job.status = "paused"
    job.paused_until = event.until
    job.next_run_at = None
    job.is_run_requested = False


def _resumed(job: JobState, event: e.Resumed | e.ForceResumed | e.CircuitClosed) -> None:
    job.status = "active"
    job.awaits_first_run = True
    job.next_run_at = event.next_run_at
    job.paused_until = None
    job.stopped_at = None
    job.owed_from = None
    job.account_for(event.missed, event.timestamp)
    job.clear_streaks()
    job.clear_trip()


def _run_requested(job: JobState, _: e.RunRequested) -> None:
    job.is_run_requested = True


def _run_started(job: JobState, event: e.RunStarted) -> None:
    job.begin_run(event)
    job.awaits_first_run = False
    job.run_count += 1
    if event.trigger == "manual":
        job.is_run_requested = False
    else:
        job.next_run_at = None
    if event.trigger in ("schedule", "catch_up"):
        job.settled_until = event.scheduled_for


def _end_run(job: JobState, status: str, event: Any, **fields: Any) -> None:
    run, job.open_run = job.open_run, None
    job.next_run_at = event.next_run_at
    job.account_for(event.missed, event.timestamp)
    job.last_run = {
        "run_id": event.run_id,
        "started_at": run.started_at if run else None,
        "status": status,
        "duration_ms": fields.get("duration_ms"),
        "error": fields.get("error"),
        "failure_class": fields.get("failure_class"),
    }


def _run_succeeded(job: JobState, event: e.RunSucceeded) -> None:
    _end_run(job, "succeeded", event, duration_ms=event.duration_ms)
    job.clear_streaks()


def _run_failed(job: JobState, event: e.RunFailed) -> None:
    _end_run(
        job,
        "failed",
        event,
        duration_ms=event.duration_ms,
        error=event.error,
        failure_class=event.failure_class,
    )
    if job.consecutive_errors == 0 and event.consecutive_errors > 0:
        job.first_error_version = event.originator_version
        job.first_error_position = None
    job.consecutive_errors = event.consecutive_errors
    job.consecutive_losses = 0
    job.attempts += 1


def _run_lost(job: JobState, event: e.RunLost) -> None:
    _end_run(job, "lost", event, error=event.cause, failure_class="lost")
    job.consecutive_losses = event.consecutive_losses
    job.attempts += 1


def _run_blocked(job: JobState, event: e.RunBlocked) -> None:
    _end_run(job, "blocked", event, error=event.cause, failure_class="blocked")
    job.attempts += 1


def _fires_skipped(job: JobState, event: e.FiresSkipped) -> None:
    job.next_run_at = event.next_run_at
    job.account_for(event.missed, event.timestamp)


def _circuit_tripped(job: JobState, event: e.CircuitTripped) -> None:
    if job.status != "failed":
        job.trip_version = event.originator_version
        job.trip_position = None
        job.tripped_at = event.timestamp
        job.stopped_at = event.timestamp
    job.status = "failed"
    job.next_run_at = None
    job.trip_error = event.last_error
    job.trip_class = event.failure_class
    job.probe_at = event.probe_at
    job.probe_wait_seconds = (
        (event.probe_at - event.timestamp).total_seconds() if event.probe_at else 0.0
    )


def _half_opened(job: JobState, _: e.CircuitHalfOpened) -> None:
    job.probe_at = None


def _delivered(job: JobState, event: e.Delivered | e.DeliveryFailed) -> None:
    job.last_delivery = {
        "run_id": event.run_id,
        "status": "delivered" if isinstance(event, e.Delivered) else "failed",
        "channel": event.channel,
        "target": event.target,
        "outcome": event.outcome,
    }


def _imported(job: JobState, event: e.Imported) -> None:
    job.status = event.status
    job.next_run_at = event.next_run_at
    job.consecutive_errors = event.consecutive_errors
    job.run_count = event.run_count
    if event.status in ("paused", "failed"):
        job.stopped_at = event.timestamp
    if event.status == "failed":
        job.trip_version = event.originator_version
        job.tripped_at = event.timestamp
        job.trip_error = event.last_error
    if event.last_run_at is not None:
        _end_imported_run(job, event)


def _end_imported_run(job: JobState, event: e.Imported) -> None:
    job.last_run = {
        "run_id": None,
        "started_at": event.last_run_at,
        "status": "failed" if event.last_error else "succeeded",
        "duration_ms": None,
        "error": event.last_error,
        "failure_class": None,
    }


def _completed(job: JobState, _: e.Completed) -> None:
    job.status = "completed"
    job.next_run_at = None
    job.is_run_requested = False


def _deleted(job: JobState, _: e.Deleted) -> None:
    job.status = "deleted"
    job.next_run_at = None
    job.is_run_requested = False


EVOLVERS: dict[type[e.Event], Callable[[JobState, Any], None]] = {
    e.Scheduled: _scheduled,
    e.Amended: _amended,
    e.Paused: _paused,
    e.Resumed: _resumed,
    e.ForceResumed: _resumed,
    e.RunRequested: _run_requested,
    e.RunStarted: _run_started,
    e.RunSucceeded: _run_succeeded,
    e.RunFailed: _run_failed,
    e.RunLost: _run_lost,
    e.RunBlocked: _run_blocked,
    e.FiresSkipped: _fires_skipped,
    e.CircuitTripped: _circuit_tripped,
    e.CircuitHalfOpened: _half_opened,
    e.CircuitClosed: _resumed,
    e.Delivered: _delivered,
    e.DeliveryFailed: _delivered,
    e.Imported: _imported,
    e.Completed: _completed,
    e.Deleted: _deleted,
}
