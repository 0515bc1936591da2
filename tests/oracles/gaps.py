"""Open gaps worked out from raw events, slowly and obviously, of jobs that fire every minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from ledger.clock import parse_rfc3339
from tests.oracles.fold import Fold

Event = Mapping[str, Any]

MINUTE = timedelta(minutes=1)
LATE = timedelta(seconds=30)
"""So much later a slot that was not started is missed."""


def open_gaps(events: Sequence[Event], now: datetime) -> list[dict[str, Any]]:
    """The slots that the job owes at an instant, by why each of them passed, in order."""
    job = Fold(events).state
    causes = ((slot, _cause(job, events, slot, now)) for slot in _slots(_settled(events), now))
    found = []
    for cause, some in groupby(causes, key=itemgetter(1)):
        slots = [_told(slot) for slot, _ in some]
        if cause is not None:
            gap = {"cause": cause, "count": len(slots), "first": slots[0], "last": slots[-1]}
            found.append(gap)
    return found


def _cause(
    job: Mapping[str, Any], events: Sequence[Event], slot: datetime, now: datetime
) -> str | None:
    if job["status"] in ("completed", "deleted"):
        return None
    if job["status"] in ("paused", "failed"):
        return str(job["status"])
    if not job["enabled"]:
        return "disabled"
    if job["open_run"] is not None:
        return _around_a_run(job, events, slot)
    planned = job["next_run_at"]
    is_missed = planned is not None and parse_rfc3339(planned) + LATE <= now
    return "downtime" if is_missed else None


def _around_a_run(job: Mapping[str, Any], events: Sequence[Event], slot: datetime) -> str:
    """Of a slot that came while a run is under way, or before it began."""
    start = [event for event in events if event["topic"] == "job.run_started"][-1]
    began, trigger = parse_rfc3339(start["timestamp"]), start["data"]["trigger"]
    if slot > began:
        return "overlap"
    if trigger == "manual":
        due = job["next_run_at"]
        is_late = due is not None and parse_rfc3339(due) + LATE < began
    else:
        is_late = trigger == "catch_up"
    return "downtime" if is_late else "delayed"


def _settled(events: Sequence[Event]) -> datetime:
    """The last slot that was started or recorded as missed, or when counting began anew."""
    found = parse_rfc3339(events[0]["recorded_at"])
    for event in events:
        data = event["data"]
        if {"schedule", "enabled"} & data.get("changes", {}).keys():
            found = parse_rfc3339(event["recorded_at"])
        if event["topic"] == "job.run_started" and data["trigger"] in ("schedule", "catch_up"):
            found = parse_rfc3339(data["scheduled_for"])
        if data.get("missed"):
            found = parse_rfc3339(data["missed"]["last"])
    return found


def _slots(after: datetime, until: datetime) -> list[datetime]:
    """The whole minutes after an instant, up to another."""
    found = []
    slot = after.replace(second=0, microsecond=0) + MINUTE
    while slot <= until:
        found.append(slot)
        slot += MINUTE
    return found


def _told(slot: datetime) -> str:
    return slot.isoformat().replace("+00:00", "Z")
