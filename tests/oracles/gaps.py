"""Open gaps worked out from raw events, slowly and obviously, of jobs that fire every minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ledger.clock import parse_rfc3339
from tests.oracles.fold import Fold

Event = Mapping[str, Any]

MINUTE = timedelta(minutes=1)
LATE = timedelta(seconds=30)
"""So much later a slot that was not started is missed."""


def open_gap(events: Sequence[Event], now: datetime) -> dict[str, Any] | None:
    """The slots that the job owes at an instant, and why; None when it owes none."""
    job = Fold(events).state
    cause = _cause(job, now)
    slots = _slots(_settled(events), now)
    if cause is None or not slots:
        return None
    return {"cause": cause, "count": len(slots), "first": slots[0], "last": slots[-1]}


def _cause(job: Mapping[str, Any], now: datetime) -> str | None:
    if job["status"] in ("completed", "deleted"):
        return None
    if job["status"] in ("paused", "failed"):
        return str(job["status"])
    if not job["enabled"]:
        return "disabled"
    if job["open_run"] is not None:
        return "overlap"
    planned = job["next_run_at"]
    is_missed = planned is not None and parse_rfc3339(planned) + LATE <= now
    return "downtime" if is_missed else None


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


def _slots(after: datetime, until: datetime) -> list[str]:
    """The whole minutes after an instant, up to another."""
    found = []
    slot = after.replace(second=0, microsecond=0) + MINUTE
    while slot <= until:
        found.append(slot.isoformat().replace("+00:00", "Z"))
        slot += MINUTE
    return found
