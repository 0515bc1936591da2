"""A schedule tried before it is used: its next fire and its words, or why it cannot be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api.phantom import bodies
from api.phantom.refusals import phantom_body
from ledger.clock import rfc3339
from ledger.domain.job.spec import read_schedule
from ledger.domain.schedule.recurrence import describe, next_fire, require_fires
from ledger.domain.schedule.schedules import Every, Schedule
from ledger.errors import Invalid

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
"""Named for milliseconds; Phantom speaks of days from two on."""


def preview(body: bodies.SchedulePreviewBody, now: datetime) -> dict[str, Any]:
    """`nextRunAt` and `humanReadable`, or `error` for a schedule that the ledger refuses."""
    try:
        schedule = read_schedule(bodies.schedule_of(body.schedule), rfc3339(now))
        require_fires(schedule, now=now)
    except Invalid as refusal:
        error = phantom_body(refusal.code, refusal.message)
        return {"nextRunAt": None, "humanReadable": None, "error": error}
    fire = next_fire(schedule, after=now)
    return {
        "nextRunAt": rfc3339(fire) if fire is not None else None,
        "humanReadable": in_words(schedule),
        "error": None,
    }


def in_words(schedule: Schedule) -> str:
    """The schedule as a dashboard shows it: intervals short, the rest as everywhere here."""
    if not isinstance(schedule, Every):
        return describe(schedule)
    whole = round(schedule.interval_seconds * 1000)
    unit, size = next(
        (unit, size)
        for unit, size in UNITS
        if whole % size == 0 and (unit != "d" or whole >= 2 * size)
    )
    return f"every {whole // size}{unit}"
