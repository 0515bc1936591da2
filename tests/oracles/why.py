"""Why, worked out from the raw events of one job, slowly and obviously."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Event = dict[str, Any]

ENDS = {"job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked"}
REVIVALS = {"job.resumed", "job.force_resumed", "job.circuit_closed", "job.scheduled"}
UNDER_WAY = {"running", "overlap", "node_down"}
GOING = {
    "exhausted", "jitter", "due", "no_worker", "catch_up_spread", "at_limit", "clock_change",
    "blocked", "lost", "backoff", "waiting", "node_down",
}  # fmt: skip
SHOWN_FAILURES = 10
STARTING = {"due", "jitter", "at_limit", "no_worker"}
SAID_OF_GAPS = {
    "paused": {"paused", "exhausted", "overlap", "due"},
    "failed": {"tripped"},
    "disabled": {"disabled"},
    "overlap": {"overlap"},
    "backoff": {"backoff", "waiting"},
    "delayed": {"waiting", *STARTING},
    "downtime": {"node_down", "catch_up_spread"},
    "no_worker": {"no_worker", "due"},
    "amended": GOING | UNDER_WAY,
}
"""For the cause of a gap, what `why` may say of one of its slots, unless a run began at that very
instant.
"""


def expected(events: Sequence[Event]) -> tuple[set[str], list[int]]:
    """The codes that may answer after these events, and the positions that must be in the chain."""
    status = status_after(events)
    start = open_start(events)
    if status == "deleted":
        return {"deleted"}, last(events, {"job.deleted"})
    if start is not None:
        return UNDER_WAY, [start["position"]]
    if status == "completed":
        return {"completed"}, last(events, {"job.completed"})
    if status == "failed":
        return {"tripped"}, trip_of(events)
    if not is_enabled(events):
        return {"disabled"}, last([event for event in events if disables(event)], None)
    if status == "paused" and is_over(events):
        return {"exhausted", "due", "node_down"}, since_revival(events, {"job.paused"})
    if status == "paused":
        return {"paused", "exhausted"}, since_revival(events, {"job.paused"})
    return GOING, []


def status_after(events: Sequence[Event]) -> str:
    status = "active"
    for event in events:
        match event["topic"]:
            case "job.paused":
                status = "paused"
            case "job.resumed" | "job.force_resumed" | "job.circuit_closed":
                status = "active"
            case "job.circuit_tripped":
                status = "failed"
            case "job.completed":
                status = "completed"
            case "job.deleted":
                status = "deleted"
    return status


def open_start(events: Sequence[Event]) -> Event | None:
    """The start of the run that has not ended."""
    found = None
    for event in events:
        if event["topic"] == "job.run_started":
            found = event
        elif event["topic"] in ENDS:
            found = None
    return found


def is_enabled(events: Sequence[Event]) -> bool:
    enabled = bool(events[0]["data"]["enabled"])
    for event in events:
        if event["topic"] == "job.amended":
            enabled = event["data"]["changes"].get("enabled", enabled)
    return enabled


def is_over(events: Sequence[Event]) -> bool:
    """Whether the end of the pause has come."""
    until = next(e["data"]["until"] for e in reversed(events) if e["topic"] == "job.paused")
    return until is not None and _plain(until) <= _plain(events[-1]["recorded_at"])


def disables(event: Event) -> bool:
    data = event["data"]
    return data.get("enabled") is False or data.get("changes", {}).get("enabled") is False


def trip_of(events: Sequence[Event]) -> list[int]:
    """The first error of the streak, the latest failures, the trip, the latest probe or trip."""
    begin = max(place for place, event in enumerate(events) if event["topic"] in REVIVALS)
    topics = [event["topic"] for event in events]
    trip = begin + topics[begin:].index("job.circuit_tripped")
    fresh = max(place for place in range(trip) if topics[place] in REVIVALS | {"job.run_succeeded"})
    streak = [
        event
        for event in events[fresh:trip]
        if event["topic"] in ("job.run_failed", "job.run_lost")
    ]
    errors = [event for event in streak if event["data"].get("consecutive_errors", 0) > 0]
    shown = {event["position"] for event in [*errors[:1], *streak[-SHOWN_FAILURES:], events[trip]]}
    return sorted(shown | set(last(events, {"job.circuit_tripped", "job.circuit_half_opened"})))


def since_revival(events: Sequence[Event], topics: set[str]) -> list[int]:
    begin = max(place for place, event in enumerate(events) if event["topic"] in REVIVALS)
    return [event["position"] for event in events[begin:] if event["topic"] in topics]


def last(events: Sequence[Event], topics: set[str] | None) -> list[int]:
    found = [event["position"] for event in events if topics is None or event["topic"] in topics]
    return found[-1:]


def missed_later(later: Sequence[Event], at: str) -> list[int]:
    """The event that recorded slots up to then as missed, if one came."""
    for event in later:
        missed = event["data"].get("missed")
        if missed and _plain(missed["first"]) <= _plain(at):
            return [event["position"]]
    return []


def planned(events: Sequence[Event]) -> str | None:
    """When the job runs next, as the last event that decided it says."""
    for event in reversed(events):
        if event["topic"] == "job.run_started" and event["data"]["trigger"] != "manual":
            return None
        if event["topic"] in ("job.paused", "job.circuit_tripped", "job.completed", "job.deleted"):
            return None
        if "next_run_at" in event["data"]:
            answer: str | None = event["data"]["next_run_at"]
            return answer
    return None


def _plain(text: str) -> str:
    """An instant that sorts as text."""
    head, _, rest = text.removesuffix("Z").partition(".")
    return f"{head}.{rest:0<6}"
