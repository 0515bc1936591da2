"""Wall times that a schedule names and that did not exist: a clock was put forward over them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ledger.domain.schedule.cron_grammar import CronFields, parse_cron
from ledger.domain.schedule.schedules import Cron, Schedule
from ledger.domain.schedule.time_zones import Change, leaps, zone

LONGEST_LOOK: Final = timedelta(days=400)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A wall time (naive) that a schedule names in its zone, and the change that skipped it."""

    wall: datetime
    tz: str
    change: Change


def skipped_fire(schedule: Schedule, *, after: datetime, until: datetime) -> Skipped | None:
    """The last fire between two instants that was skipped with its wall time and not made up for
    (rules 2 and 3), at most 400 days back; None when there was none.
    """
    if not isinstance(schedule, Cron):
        return None
    fields, tz = parse_cron(schedule.expr), zone(schedule.tz)
    if fields.follows_minutes:  # it follows real minutes, of which none is missing
        return None
    for change in reversed(leaps(tz, after=max(after, until - LONGEST_LOOK), until=until)):
        is_made_up_for = schedule.dst == "vixie" and not change.is_correction
        wall = None if is_made_up_for else _last_named(fields, change)
        if wall is not None:
            return Skipped(wall, schedule.tz, change)
    return None


def _last_named(fields: CronFields, change: Change) -> datetime | None:
    """The last wall time among those skipped that the fields name."""
    wall = change.landing.replace(second=0, microsecond=0)
    while wall > change.leaving - _MINUTE:
        if change.leaving <= wall < change.landing and _names(fields, wall):
            return wall
        wall -= _MINUTE
    return None


def _names(fields: CronFields, wall: datetime) -> bool:
    is_time = wall.minute in fields.minutes and wall.hour in fields.hours
    return is_time and fields.has_day(wall.date())
