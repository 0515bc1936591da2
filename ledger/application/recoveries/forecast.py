"""What a dry run tells: who comes back and when, who does not and why, and the fires a minute."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger.application.commands.recoveries import Forecast
from ledger.clock import rfc3339
from ledger.domain.recovery.abort_check import abort_check_of
from ledger.domain.recovery.stagger import Fires, Turn, fires_of, turns_of


def forecast_view(forecast: Forecast, now: datetime) -> dict[str, Any]:
    """A forecast as every surface shows it. Slow where many jobs fire often: seconds at worst."""
    turns = turns_of(forecast.jobs, forecast.terms, now)
    terms, selection = forecast.terms, forecast.selection
    brake = abort_check_of(forecast.jobs, terms, now)
    return {
        "storm_id": selection.storm_id,
        "selector": selection.plain(),
        "planned_at": rfc3339(now),
        "probe": str(terms.probe) if terms.probe else None,
        "rate_per_minute": terms.rate_per_minute,
        "abort_on": terms.abort_on,
        "can_stop_in_time": brake.can_stop_in_time,
        "stop_text": brake.text,
        "job_count": len(turns),
        "refused_count": len(forecast.refused),
        "last_step_at": rfc3339(turns[-1].step_at) if turns else None,
        "jobs": [_turn(turn) for turn in turns],
        "refused": [
            {**one.plain(), "name": forecast.names.get(one.job_id) or None}
            for one in forecast.refused
        ],
        "fires": _fires(fires_of(turns, now)),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    job = turn.job
    return {
        "job_id": str(job.job_id),
        "name": job.name,
        "place": turn.place,
        "step_at": rfc3339(turn.step_at),
        "first_fire_at": rfc3339(turn.first_fire_at) if turn.first_fire_at else None,
        "tripped_at": rfc3339(job.tripped_at) if job.tripped_at else None,
        "failure_class": job.failure_class,
    }


def _fires(fires: Fires) -> dict[str, Any]:
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
