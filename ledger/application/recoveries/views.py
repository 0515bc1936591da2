"""A recovery as every surface shows it: its status, and the outcome of each of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.application.commands.recoveries import Forecast
from ledger.application.recoveries.history import RecoveryHistory
from ledger.clock import from_microseconds, rfc3339
from ledger.domain.recovery.abort_check import abort_check_of
from ledger.domain.recovery.recovery import RESUMED
from ledger.domain.recovery.stagger import FireForecast, ResumeStep, fire_forecast_of, steps_of
from ledger.store.records import RecordedEvent

CAUSED = ("lost", "blocked")
"""Outcomes that have a cause instead of an error."""


def summary(
    history: RecoveryHistory, *, has_probe_succeeded: bool, re_trip_count: int
) -> dict[str, Any]:
    """A recovery without its jobs."""
    recovery, planned, end = history.recovery, history.planned.data, history.end
    status = _status(history, has_probe_succeeded)
    return {
        "id": recovery.name,
        "status": status,
        "cause": end.data.get("cause") if end else None,
        "storm_id": planned["storm_id"],
        "selector": planned["selector"],
        "planned_at": planned["timestamp"],
        "planned_by": planned["actor"],
        "reason": planned["reason"],
        "probe": planned["probe"],
        "rate_per_minute": planned["rate_per_minute"],
        "abort_on": planned["abort_on"],
        "job_count": len(recovery.jobs),
        "resumed_count": recovery.resumed_count,
        "refused_count": recovery.refused_count,
        "left_count": len(recovery.remaining),
        "re_trip_count": end.data["re_trips"] if end else re_trip_count,
        "next_step_at": _next_step_at(history) if status == "dripping" else None,
        "ended_at": end.data["timestamp"] if end else None,
        "ended_by": end.data["actor"] if end else None,
        "end_reason": end.data["reason"] if end else None,
        "position": (end or (history.steps or [history.planned])[-1]).position,
    }


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The outcomes of the resumed jobs, and the names of all jobs."""

    trips: Mapping[UUID, RecordedEvent]
    first_outcomes: Mapping[UUID, RecordedEvent]
    names: Mapping[str, str]


def job_views(history: RecoveryHistory, after: Aftermath) -> list[dict[str, Any]]:
    """Every job of the plan, in its order, with its outcome so far."""
    waiting = "left" if history.end is not None else "waiting"
    views = [_step_view(step, history, after) for step in history.steps]
    for place in range(len(views), len(history.recovery.jobs)):
        views.append(_not_yet(history.recovery.jobs[place], place, waiting, after))
    return views


def refused_views(history: RecoveryHistory, after: Aftermath) -> list[dict[str, Any]]:
    """The jobs that the plan refused, and why."""
    refused = history.planned.data["refused"]
    return [{**one, "name": after.names.get(one["job_id"])} for one in refused]


def _step_view(step: RecordedEvent, history: RecoveryHistory, after: Aftermath) -> dict[str, Any]:
    data, job_id = step.data, UUID(step.data["job_id"])
    trip, outcome = after.trips.get(job_id), after.first_outcomes.get(job_id)
    is_run_at_once = data["outcome"] == RESUMED and data["job_id"] == history.recovery.probe
    return {
        "job_id": data["job_id"],
        "name": after.names.get(data["job_id"]),
        "place": data["place"],
        "outcome": data["outcome"],
        "code": data["code"],
        "message": data["message"],
        "step_at": data["timestamp"],
        "first_fire_at": data["timestamp"] if is_run_at_once else data["next_run_at"],
        "first_outcome": _outcome_view(outcome) if outcome else None,
        "tripped_again_at": rfc3339(from_microseconds(trip.recorded_at)) if trip else None,
    }


def _outcome_view(event: RecordedEvent) -> dict[str, Any]:
    """A lost or blocked run shows its cause as the error, as in a job's last run."""
    outcome = event.topic.removeprefix("job.").removeprefix("run_")
    return {
        "outcome": outcome,
        "run_id": event.data.get("run_id"),
        "failure_class": event.data.get("failure_class")
        or (outcome if outcome in CAUSED else None),
        "error": event.data.get("error") or (event.data["cause"] if outcome in CAUSED else None),
        "recorded_at": rfc3339(from_microseconds(event.recorded_at)),
        "position": event.position,
    }


def _not_yet(job_id: str, place: int, outcome: str, after: Aftermath) -> dict[str, Any]:
    name = after.names.get(job_id)
    nothing = ("code", "message", "step_at", "first_fire_at", "first_outcome", "tripped_again_at")
    views = {"job_id": job_id, "name": name, "place": place, "outcome": outcome}
    return views | dict.fromkeys(nothing)


def _status(history: RecoveryHistory, has_probe_succeeded: bool) -> str:
    if history.end is not None:
        return history.end.topic.removeprefix("recovery.")
    if history.recovery.is_probing and not has_probe_succeeded:
        return "probing"
    return "dripping" if history.recovery.remaining else "settling"


def _next_step_at(history: RecoveryHistory) -> str:
    if not history.steps:
        return str(history.planned.data["timestamp"])
    return rfc3339(history.recovery.last_step_at + history.recovery.interval)


def forecast_view(forecast: Forecast, now: datetime) -> dict[str, Any]:
    """A forecast as every surface shows it. Slow where many jobs fire often: seconds at worst."""
    steps = steps_of(forecast.jobs, forecast.terms, now)
    terms, selection = forecast.terms, forecast.selection
    check = abort_check_of(forecast.jobs, terms, now)
    return {
        "storm_id": selection.storm_id,
        "selector": selection.plain(),
        "planned_at": rfc3339(now),
        "probe": str(terms.probe) if terms.probe else None,
        "rate_per_minute": terms.rate_per_minute,
        "abort_on": terms.abort_on,
        "can_stop_in_time": check.can_stop_in_time,
        "stop_text": check.text,
        "job_count": len(steps),
        "refused_count": len(forecast.refused),
        "last_step_at": rfc3339(steps[-1].step_at) if steps else None,
        "jobs": [_planned_step(step) for step in steps],
        "refused": [
            {**one.plain(), "name": forecast.names.get(one.job_id) or None}
            for one in forecast.refused
        ],
        "fires": _fires(fire_forecast_of(steps, now)),
    }


def _planned_step(step: ResumeStep) -> dict[str, Any]:
    job = step.job
    return {
        "job_id": str(job.job_id),
        "name": job.name,
        "place": step.place,
        "step_at": rfc3339(step.step_at),
        "first_fire_at": rfc3339(step.first_fire_at) if step.first_fire_at else None,
        "tripped_at": rfc3339(job.tripped_at) if job.tripped_at else None,
        "failure_class": job.failure_class,
    }


def _fires(fires: FireForecast) -> dict[str, Any]:
    minutes = sorted(fires.at_once.keys() | fires.staggered.keys())
    return {
        "begins_at": rfc3339(fires.begins_at),
        "ends_at": rfc3339(fires.ends_at),
        "at_once_peak": max(fires.at_once.values(), default=0),
        "staggered_peak": max(fires.staggered.values(), default=0),
        "first_at_once_peak": fires.first_at_once_peak,
        "first_staggered_peak": fires.first_staggered_peak,
        "per_minute": [
            {
                "minute": rfc3339(minute),
                "at_once": fires.at_once[minute],
                "staggered": fires.staggered[minute],
            }
            for minute in minutes
        ],
    }
