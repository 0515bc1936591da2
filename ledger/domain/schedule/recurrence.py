"""When a schedule fires: the next time, the first few, the missed ones, and in words.

The only module that imports croniter, and uses it for days only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import metadata
from typing import Any, Final

from croniter import croniter

from ledger.clock import rfc3339
from ledger.domain.schedule.cron_grammar import CRONS_KEPT, SIZES, CronFields, parse_cron
from ledger.domain.schedule.cron_text import cron_in_words
from ledger.domain.schedule.cron_timetable import COUNTED_SLOTS, Timetable
from ledger.domain.schedule.schedules import At, Cron, Every, Schedule
from ledger.domain.schedule.time_zones import zone_rules_version
from ledger.errors import InvalidField, ScheduleInPast, ScheduleNeverFires

PREVIEWED_FIRES: Final = 1_000
ANSWERS_KEPT: Final = 16_384

_ANY_DATE: Final = datetime(2000, 1, 1)
_DAYS_IN_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def next_fire(schedule: Schedule, *, after: datetime) -> datetime | None:
    """The first fire strictly later than `after`, in UTC; None when there is none before the year
    10000.
    """
    if after.tzinfo is None:
        raise ValueError("after must carry an offset")
    try:
        match schedule:
            case At(at):
                return at.astimezone(UTC) if at > after else None
            case Every():
                return _next_interval(schedule, after.astimezone(UTC))
            case Cron():
                return _timetable(schedule).next(after)
    except OverflowError:
        return None


def fires(schedule: Schedule, *, after: datetime, count: int) -> list[datetime]:
    """The first `count` fires after `after`, each as if the one before had ended at once."""
    if not 0 <= count <= PREVIEWED_FIRES:
        raise InvalidField("count", f"must lie between 0 and {PREVIEWED_FIRES}")
    found: list[datetime] = []
    while len(found) < count:
        upcoming = next_fire(schedule, after=found[-1] if found else after)
        if upcoming is None:
            break
        found.append(upcoming)
    return found


def require_fires(schedule: Schedule, *, now: datetime) -> None:
    """Refuse a schedule that would never run.

    Raises ScheduleInPast for an instant in the past and ScheduleNeverFires for cron without a fire.
    """
    if next_fire(schedule, after=now) is not None:
        return
    if isinstance(schedule, At):
        raise ScheduleInPast(schedule.at.astimezone(UTC))
    raise ScheduleNeverFires(schedule.expr if isinstance(schedule, Cron) else describe(schedule))


# -- slots owed ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots that passed without a run, counted exactly up to 10,000; `last` is the last counted."""

    count: int
    first: datetime
    last: datetime
    cause: str
    capped: bool

    def plain(self) -> dict[str, Any]:
        """As events store it."""
        return {
            "count": self.count,
            "first": rfc3339(self.first),
            "last": rfc3339(self.last),
            "cause": self.cause,
            "capped": self.capped,
        }


def missed_fires(
    schedule: Schedule, *, first: datetime, until: datetime, cause: str
) -> Missed | None:
    """The slots from `first` (one itself) up to and including `until`; None when there is none.

    Cached: ask before a command is queued, and the decision does not count again.
    """
    return _missed(schedule, first, until, cause) if first <= until else None


@lru_cache(maxsize=ANSWERS_KEPT)
def _missed(schedule: Schedule, first: datetime, until: datetime, cause: str) -> Missed:
    match schedule:
        case At():
            count, last = 1, first
        case Every():
            count, last = _count_intervals(schedule, first, until)
        case Cron():
            count, last = _timetable(schedule).count(first, until)
    following = next_fire(schedule, after=last)
    capped = count == COUNTED_SLOTS and following is not None and following <= until
    return Missed(count, first.astimezone(UTC), last.astimezone(UTC), cause, capped)


# -- intervals ----------------------------------------------------------------------------------


def _next_interval(every: Every, after: datetime) -> datetime:
    step = timedelta(milliseconds=round(every.interval_seconds * 1000))
    if every.anchor == "end" or every.anchor_at is None:
        return after + step
    start = every.anchor_at.astimezone(UTC)
    return start if after < start else start + ((after - start) // step + 1) * step


def _count_intervals(every: Every, first: datetime, until: datetime) -> tuple[int, datetime]:
    step = timedelta(milliseconds=round(every.interval_seconds * 1000))
    second = next_fire(every, after=first)
    if second is None or second > until:
        return 1, first
    more = min((until - second) // step, COUNTED_SLOTS - 2)
    return more + 2, second + more * step


# -- cron ---------------------------------------------------------------------------------------


@lru_cache(maxsize=CRONS_KEPT)
def _timetable(cron: Cron) -> Timetable:
    return Timetable(cron, _calendar(parse_cron(cron.expr)))


def _calendar(fields: CronFields) -> croniter | None:
    """croniter for the plain calendar, given only what it reads as cron does; None if no date
    matches.

    Sets are written out, because croniter takes `30-30` for the whole cycle and a full field for
    `*`.
    """
    days, weekdays, both = fields.days, fields.weekdays, fields.needs_both_days
    dated = any(day <= _DAYS_IN_MONTH[month - 1] for day in days for month in fields.months)
    if both and not dated:
        return None
    if not both and (len(days) == 31 or len(weekdays) == 7):
        days = weekdays = frozenset()
    elif not dated:
        days = frozenset()
    sets = (fields.minutes, fields.hours, days, fields.months, weekdays)
    expr = " ".join(map(_written, sets, SIZES))
    return croniter(expr, _ANY_DATE, day_or=not both and dated)


def _written(values: frozenset[int], size: int) -> str:
    return "*" if len(values) in (0, size) else ",".join(map(str, sorted(values)))


# -- in words -----------------------------------------------------------------------------------

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def describe(schedule: Schedule) -> str:
    """The schedule as one short English sentence."""
    match schedule:
        case At(at):
            return f"at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case Every(seconds, _, anchor_at):
            grid = f", on the grid from {rfc3339(anchor_at)}" if anchor_at else ""
            return f"every {_duration(seconds)}{grid}"
        case Cron(expr, tz, _):
            return f"{cron_in_words(expr)} ({tz})"


def _duration(seconds: float) -> str:
    unit, size = next((unit for unit in _UNITS if seconds % unit[1] == 0), _UNITS[-1])
    number = f"{seconds / size:.3f}".rstrip("0").rstrip(".")
    return unit if number == "1" else f"{number} {unit}s"


# -- what computed it ---------------------------------------------------------------------------


def planner() -> dict[str, str]:
    """What computed the fires: the versions of croniter and of the zone rules in use."""
    return {"croniter": _croniter_version(), "tzdata": zone_rules_version()}


@lru_cache(maxsize=1)
def _croniter_version() -> str:
    return metadata.version("croniter")
