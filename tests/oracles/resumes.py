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
    trips = [event for event in own if event["topic"] == "job.circuit_tripped"]
    return {
        "position": resume["position"],
        "job_id": resume["job_id"],
        "actor": resume["actor"],
        "failure_class": resume["data"]["failure_class"],
        "outcome": VERDICTS[decisive["topic"]] if decisive is not None else "open",
        "decided_position": decisive["position"] if decisive is not None else None,
        "run_count": sum(event["topic"] in ENDS for event in until),
        "next_trip_position": trips[0]["position"] if trips else None,
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
