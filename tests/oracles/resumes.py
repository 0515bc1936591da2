"""Force-resumes and gaps worked out from raw events, slowly and obviously."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]

VERDICTS = {
    "job.run_succeeded": "held",
    "job.circuit_tripped": "re_tripped",
    "job.paused": "paused_again",
    "job.deleted": "deleted",
}
ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")
REVIVALS = ("job.force_resumed", "job.circuit_closed")
KEPT = ("trip_position", "cleared_errors", "last_error", "recovery_id")
"""What a force-resume says itself, and is told as it says it."""


def resumes_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What came of each force-resume of one job's history."""
    forced = [n for n, event in enumerate(events) if event["topic"] == "job.force_resumed"]
    return [
        _scored(events[place], events[place + 1 :], _until_next(events, place, forced))
        for place in forced
    ]


def _until_next(events: Sequence[Event], place: int, forced: Sequence[int]) -> Sequence[Event]:
    following = [other for other in forced if other > place]
    return events[place + 1 : following[0] if following else None]


def _scored(resume: Event, later: Sequence[Event], own: Sequence[Event]) -> dict[str, Any]:
    decisive = next((event for event in later if event["topic"] in VERDICTS), None)
    until = later if decisive is None else later[: later.index(decisive) + 1]
    trips = _trips(own)
    return {
        "position": resume["position"],
        "job_id": resume["job_id"],
        "recorded_at": resume["recorded_at"],
        **{name: resume[name] for name in ("actor", "source", "reason")},
        **{name: resume["data"][name] for name in KEPT},
        "failure_class": resume["data"]["failure_class"] or "unknown",
        "outcome": VERDICTS[decisive["topic"]] if decisive is not None else "open",
        "decided_position": decisive["position"] if decisive is not None else None,
        "decided_at": decisive["recorded_at"] if decisive is not None else None,
        "run_count": sum(event["topic"] in ENDS for event in until),
        "trip_count": len(trips),
        "next_trip_position": trips[0]["position"] if trips else None,
        "next_trip_at": trips[0]["recorded_at"] if trips else None,
    }


def _trips(own: Sequence[Event]) -> list[Event]:
    """The times that the job failed since: a probe that failed found it failed already."""
    trips: list[Event] = []
    is_failed = False
    for event in own:
        if event["topic"] == "job.circuit_tripped" and not is_failed:
            trips.append(event)
        if event["topic"] in (*REVIVALS, "job.circuit_tripped"):
            is_failed = event["topic"] == "job.circuit_tripped"
    return trips


def rates_of(resumes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many of these held, counted one by one."""
    decided = [one for one in resumes if one["outcome"] != "open"]
    held = [one for one in decided if one["outcome"] == "held"]
    return {
        "count": len(resumes),
        "decided_count": len(decided),
        "held_count": len(held),
        "rate": round(len(held) / len(decided), 4) if decided else None,
    }


def gaps_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The slots that the events of one job recorded as missed."""
    return [
        {
            **event["data"]["missed"],
            "position": event["position"],
            "topic": event["topic"],
            "job_id": event["job_id"],
            "recorded_at": event["recorded_at"],
        }
        for event in events
        if event["data"].get("missed")
    ]
